// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/translate"
)

// page is one ProxyReport of this process.
type page struct {
	// object is the report as it was last seen, without its numbers; nil until it was created.
	object *v1alpha1.ProxyReport
	// stored are the numbers that the API server is known to have. attempt are those of a write of which
	// nobody knows whether it came through, or still will; nil without one.
	stored, attempt []v1alpha1.EndpointNumbers
	// gone says that the report does not exist any more.
	gone bool
}

// keep notes what the API server has.
func (p *page) keep(object *v1alpha1.ProxyReport, stored []v1alpha1.EndpointNumbers) {
	object.Status = v1alpha1.ProxyReportStatus{}
	p.object, p.stored, p.attempt = object, stored, nil
}

// dead returns errDead when the report is not this process's to write any more.
func (p *page) dead() error {
	switch {
	case p.gone:
		return fmt.Errorf("%w: a ProxyReport is gone", errDead)
	case p.object != nil && (p.object.Spec.Sealed || !p.object.DeletionTimestamp.IsZero()):
		return fmt.Errorf("%w: ProxyReport %s is being taken into the books", errDead, p.object.Name)
	}
	return nil
}

func (r *Reporter) countDue(time.Time) (at time.Time, ok bool) {
	return r.mine.counted.Add(r.cadence.interval), r.mine.greeted
}

// count writes the pages that have changed.
func (r *Reporter) count(ctx context.Context) error {
	if err := r.settle(ctx); err != nil {
		return err
	}
	now := r.options.Clock.Now()
	sheets, left := r.mine.layout.place(r.remaining(r.options.Book.Numbers(now), now))
	if left > 0 && left != r.left {
		r.options.Logger.ErrorContext(ctx, "more endpoints were used than a proxy can report; the usage of the others is not counted", "endpoints", left)
	}
	r.left = left
	if err := r.raise(ctx, len(sheets)); err != nil {
		return err
	}
	var errs []error
	for i, numbers := range sheets {
		sheet := write(numbers)
		size := fit(sheet, MaxPageBytes)
		if p := r.mine.pages[i]; p.attempt != nil || !sameSheet(p.stored, sheet) {
			err := r.writePage(ctx, i, sheet, size)
			if err != nil && !refused(err) {
				return err // So it would go with the others.
			}
			errs = append(errs, err)
			r.interject(ctx)
			if r.mine.instance == nil {
				// It was buried meanwhile. Whoever asked for all numbers must not take them for written.
				return errors.Join(append(errs, fmt.Errorf("%w: it was found so between two pages", errDead))...)
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	r.mine.counted = now
	return nil
}

// interject says between two pages what cannot wait for the last one.
func (r *Reporter) interject(ctx context.Context) {
	r.poll()
	for _, d := range r.duties {
		if d.urgent && r.isDue(d) {
			// An error is kept in the duty, and has been counted.
			_ = r.perform(ctx, d)
		}
	}
}

// raise says how many pages there are before there are so many: whoever finds an instance at its end knows by
// that which reports to look for.
func (r *Reporter) raise(ctx context.Context, pages int) error {
	for len(r.mine.pages) < pages {
		r.mine.pages = append(r.mine.pages, &page{})
	}
	if pages == 0 || r.mine.said != nil && int(r.mine.said.Pages) >= pages {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestsTimeout)
	defer cancel()
	return r.write(ctx, r.status(r.options.Clock.Now()))
}

// writePage replaces the numbers of a page. That somebody else has written the report, to label or to seal it,
// shows as a conflict, and then it is read anew.
func (r *Reporter) writePage(ctx context.Context, index int, sheet []v1alpha1.EndpointNumbers, size int) error {
	ctx, cancel := context.WithTimeout(ctx, requestsTimeout)
	defer cancel()
	p := r.mine.pages[index]
	if p.object == nil {
		if err := r.createPage(ctx, p, index); err != nil {
			return err
		}
	}
	if p.attempt != nil {
		if err := r.rereadPage(ctx, p); err != nil {
			return err
		}
	}
	for try := 1; ; try++ {
		err := r.updatePage(ctx, p, sheet, size)
		if !apierrors.IsConflict(err) || try == statusTries {
			return err
		}
		if err := r.rereadPage(ctx, p); err != nil {
			return err
		}
	}
}

// createPage makes the report, without numbers: those are written to its status.
func (r *Reporter) createPage(ctx context.Context, p *page, index int) error {
	instance := r.mine.instance
	object := translate.Report(instance, index)
	size := sizeOf(object)
	err := r.options.Client.Create(ctx, object)
	if apierrors.IsAlreadyExists(err) {
		// An earlier try got through without its answer. Instance names are never used twice, but reports could
		// be left of an instance that somebody took away by force.
		if err = r.options.Client.Get(ctx, client.ObjectKeyFromObject(object), object); err == nil && object.Spec.InstanceUID != string(instance.UID) {
			return fmt.Errorf("%w: its name is taken by ProxyReport %s of another", errDead, object.Name)
		}
	}
	if err != nil {
		return fmt.Errorf("creating ProxyReport %s: %w", object.Name, err)
	}
	r.metrics.wrote(kindNumbers, size)
	p.keep(object, object.Status.Endpoints)
	return p.dead()
}

// updatePage writes the numbers, if nobody has written the report since it was last seen.
func (r *Reporter) updatePage(ctx context.Context, p *page, sheet []v1alpha1.EndpointNumbers, size int) error {
	object := p.object.DeepCopy()
	object.Status = v1alpha1.ProxyReportStatus{Time: new(metav1.NewMicroTime(r.options.Clock.Now())), Endpoints: sheet}
	before := p.attempt
	p.attempt = sheet
	err := r.during(func() error { return r.options.Client.Status().Update(ctx, object) })
	if refused(err) {
		p.attempt = before
	}
	switch {
	case err == nil:
		r.metrics.wrote(kindNumbers, size)
		p.keep(object, sheet)
		return nil
	case apierrors.IsNotFound(err):
		p.gone = true
		return p.dead()
	}
	return fmt.Errorf("writing ProxyReport %s: %w", p.object.Name, err)
}

// refused reports whether the API server has answered that it did not do what it was asked for. After any other
// error it may have done it, or still be at it.
func refused(err error) bool {
	if err == nil || apierrors.IsTimeout(err) {
		return false
	}
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Code >= 400 && status.Status().Code < 500
}

// rereadPage finds out what the API server has. When the report was written since it was last seen, an attempt
// on that version has come through, or never will.
func (r *Reporter) rereadPage(ctx context.Context, p *page) error {
	object := &v1alpha1.ProxyReport{}
	err := r.options.Client.Get(ctx, client.ObjectKeyFromObject(p.object), object)
	switch {
	case apierrors.IsNotFound(err), err == nil && object.UID != p.object.UID:
		p.gone = true
	case err != nil:
		return fmt.Errorf("reading ProxyReport %s: %w", p.object.Name, err)
	case object.ResourceVersion != p.object.ResourceVersion:
		p.keep(object, object.Status.Endpoints)
	}
	return p.dead()
}
