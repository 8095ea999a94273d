// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/translate"
)

const (
	// maxPages is the API's bound on the reports of one process.
	maxPages = 64
	// foldAgain is when it is looked again whether the numbers of a process are in the books. They go there with
	// the next numbers of each endpoint.
	foldAgain = 5 * time.Second
)

// deceased is a process of which nothing follows.
type deceased struct {
	key types.NamespacedName
	uid string
	// pages is how many reports it said it had.
	pages int
	// instance is nil when only reports are left.
	instance *v1alpha1.ProxyInstance
}

func deceasedOf(instance *v1alpha1.ProxyInstance) deceased {
	return deceased{
		key: client.ObjectKeyFromObject(instance), uid: string(instance.UID),
		pages: int(instance.Status.Pages), instance: instance,
	}
}

// named is an endpoint that has to do with a process.
type named struct {
	key types.NamespacedName
	uid string
	// asked says that nothing is known of it but what the process has said last: it matters if there is a lease.
	asked bool
}

// bury takes the numbers of a process into the books, and then its objects away. It may be broken off anywhere
// and begun again: sealing twice changes nothing, and the record in each endpoint's status keeps numbers from
// being added twice.
func (r *ProxyInstanceReconciler) bury(ctx context.Context, d deceased) (ctrl.Result, error) {
	known, final, err := r.named(ctx, d)
	if err != nil {
		return ctrl.Result{}, err
	}
	if final {
		left, err := r.unfolded(ctx, d.uid, known)
		if err != nil {
			return ctrl.Result{}, err
		}
		if left {
			return ctrl.Result{RequeueAfter: foldAgain}, nil
		}
	}
	reports, err := r.seal(ctx, d)
	if err != nil {
		return ctrl.Result{}, err
	}
	r.Books.Seal(d.uid, reports)
	all, _, err := r.named(ctx, d)
	if err != nil {
		return ctrl.Result{}, err
	}
	left, err := r.unfolded(ctx, d.uid, all)
	if err != nil {
		return ctrl.Result{}, err
	}
	if left {
		for _, n := range all { // Those that it has counted nothing of are nowhere in what it leaves.
			r.Books.Changed(n.key.Namespace, false)
		}
		return ctrl.Result{RequeueAfter: foldAgain}, nil
	}
	return ctrl.Result{}, r.release(ctx, d, reports)
}

// named are the endpoints that have to do with a process: those that it has counted something of, and those that it
// has leases on by the stored ledgers. Each closes its lease with the numbers it takes in. A spec does not name them:
// it holds what was not acknowledged. The cache holds all ledgers of this operator's namespaces, also before any was
// looked at; of another operator's, whoever gives something back names them with its last word.
func (r *ProxyInstanceReconciler) named(ctx context.Context, d deceased) (all []named, final bool, err error) {
	all, final = r.Books.named(d.uid)
	leases, _ := r.Leases.of(d.uid) // The cache may not show yet what was written last.
	for endpoint, l := range leases {
		if len(l.Grants) > 0 {
			all = append(all, named{key: types.NamespacedName{Namespace: l.Namespace, Name: l.Name}, uid: endpoint})
		}
	}
	var endpoints v1alpha1.ModelEndpointList
	if err := r.Reader.List(ctx, &endpoints, client.UnsafeDisableDeepCopy); err != nil {
		return nil, false, fmt.Errorf("looking for leases of ProxyInstance %s: %w", d.key, err)
	}
	for i := range endpoints.Items {
		if e := &endpoints.Items[i]; leasedTo(e, d.uid) {
			all = append(all, named{key: client.ObjectKeyFromObject(e), uid: string(e.UID)})
		}
	}
	if d.instance != nil {
		for i := range d.instance.Status.Asks {
			if ask := &d.instance.Status.Asks[i]; !r.mine(ask.Namespace) {
				all = append(all, named{key: types.NamespacedName{Namespace: ask.Namespace, Name: ask.Name}, uid: ask.UID, asked: true})
			}
		}
	}
	return all, final, nil
}

// leasedTo reports whether the stored ledger of an endpoint has a lease of a process.
func leasedTo(endpoint *v1alpha1.ModelEndpoint, uid string) bool {
	ledger := endpoint.Status.Ledger
	return slices.ContainsFunc(ledger, func(a v1alpha1.LedgerAccount) bool {
		return slices.ContainsFunc(a.Leases, func(l v1alpha1.LedgerLease) bool { return l.UID == uid })
	})
}

// buryStrays does the same for reports whose ProxyInstance is gone, as after somebody took its finalizer away by
// hand. Its absence is asked of the API server: a cache may only be late.
func (r *ProxyInstanceReconciler) buryStrays(ctx context.Context, key types.NamespacedName) (ctrl.Result, error) {
	uids := r.Books.Strays(key)
	if len(uids) == 0 {
		return ctrl.Result{}, nil
	}
	var instance v1alpha1.ProxyInstance
	err := r.Live.Get(ctx, key, &instance)
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("reading ProxyInstance %s: %w", key, err)
	}
	var result ctrl.Result
	for _, uid := range uids {
		if err == nil && string(instance.UID) == uid {
			continue // The cache is late.
		}
		one, err := r.bury(ctx, deceased{key: key, uid: uid})
		if err != nil {
			return ctrl.Result{}, err
		}
		result.RequeueAfter = max(result.RequeueAfter, one.RequeueAfter)
	}
	return result, nil
}

// seal seals all reports of a process and returns them with their last content. The answer to each patch is what
// is stored, which no cache is. A report that the process has spoken of and that is not there is created as a sealed
// one: a process that is believed dead and lives may be about to create it, and its numbers would be nobody's.
func (r *ProxyInstanceReconciler) seal(ctx context.Context, d deceased) ([]*v1alpha1.ProxyReport, error) {
	patch, err := json.Marshal([]map[string]any{
		{"op": "test", "path": "/spec/instanceUID", "value": d.uid},
		{"op": "add", "path": "/spec/sealed", "value": true},
	})
	if err != nil {
		return nil, fmt.Errorf("writing a patch: %w", err)
	}
	known := r.Books.Pages(d.uid)
	var sealed []*v1alpha1.ProxyReport
	for page := range maxPages {
		key := types.NamespacedName{Namespace: d.key.Namespace, Name: translate.ReportName(d.key.Name, page)}
		at := slices.Index(known, key)
		if at >= 0 {
			known = slices.Delete(known, at, at+1)
		}
		report, err := r.sealOne(ctx, key, d.uid, patch)
		if err == nil && report == nil && page < d.pages {
			report, err = r.forestall(ctx, d.instance, page)
		}
		if err != nil {
			return nil, err
		}
		if report != nil {
			sealed = append(sealed, report)
		} else if page >= d.pages && len(known) == 0 {
			break
		}
	}
	return sealed, nil
}

// sealOne seals one report; nil when there is none of this process.
func (r *ProxyInstanceReconciler) sealOne(ctx context.Context, key types.NamespacedName, uid string, patch []byte) (*v1alpha1.ProxyReport, error) {
	report := &v1alpha1.ProxyReport{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	err := r.Client.Patch(ctx, report, client.RawPatch(types.JSONPatchType, patch), fieldOwner)
	switch {
	case err == nil:
		return report, nil
	case apierrors.IsNotFound(err):
		return nil, nil
	case apierrors.IsInvalid(err) && r.ofAnother(ctx, key, uid):
		return nil, nil
	default:
		return nil, fmt.Errorf("sealing ProxyReport %s: %w", key, err)
	}
}

// forestall creates a report in place of its process, empty and sealed. That the process was faster is an error: the
// burial begins again, and finds the report. Where the namespace is about to go, the process cannot create it either.
func (r *ProxyInstanceReconciler) forestall(ctx context.Context, instance *v1alpha1.ProxyInstance, page int) (*v1alpha1.ProxyReport, error) {
	report := translate.Report(instance, page)
	report.Spec.Sealed = true
	err := r.Client.Create(ctx, report, fieldOwner)
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("creating ProxyReport %s in place of its process: %w", client.ObjectKeyFromObject(report), err)
	default:
		return report, nil
	}
}

// ofAnother reports whether the report is of another process. A patch that its test has kept from being made looks
// like one that the schema refuses, and numbers must not be lost for that.
func (r *ProxyInstanceReconciler) ofAnother(ctx context.Context, key types.NamespacedName, uid string) bool {
	var report v1alpha1.ProxyReport
	err := r.Live.Get(ctx, key, &report)
	return err == nil && report.Spec.InstanceUID != uid
}

// unfolded reports whether an endpoint has yet to take in what the process has counted of it.
func (r *ProxyInstanceReconciler) unfolded(ctx context.Context, uid string, all []named) (bool, error) {
	for _, n := range all {
		endpoint, err := r.endpoint(ctx, n)
		if err != nil {
			return false, err
		}
		if endpoint == nil || r.nobodys(endpoint) || n.asked && !leasedTo(endpoint, uid) {
			continue
		}
		fold := readFold(endpoint.Status.Fold)
		if !fold.Has(uid) {
			return true, nil
		}
	}
	return false, nil
}

// endpoint is the endpoint that a report names; nil when it is gone, with its books. Only the API server can say
// so.
func (r *ProxyInstanceReconciler) endpoint(ctx context.Context, n named) (*v1alpha1.ModelEndpoint, error) {
	readers := []client.Reader{r.Reader, r.Live}
	if !r.mine(n.key.Namespace) {
		readers = readers[1:] // The cache does not hold it.
	}
	for _, reader := range readers {
		var endpoint v1alpha1.ModelEndpoint
		err := reader.Get(ctx, n.key, &endpoint)
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("reading ModelEndpoint %s: %w", n.key, err)
		}
		if err == nil && string(endpoint.UID) == n.uid && endpoint.DeletionTimestamp.IsZero() {
			return &endpoint, nil
		}
	}
	return nil, nil
}

func (r *ProxyInstanceReconciler) mine(namespace string) bool {
	return len(r.Namespaces) == 0 || slices.Contains(r.Namespaces, namespace)
}

// nobodys reports whether no operator has ever looked after the endpoint, so that nobody will take anything in.
func (r *ProxyInstanceReconciler) nobodys(endpoint *v1alpha1.ModelEndpoint) bool {
	return !r.mine(endpoint.Namespace) && endpoint.Status.ObservedGeneration == 0
}

// release takes away the objects of a process whose numbers are in the books: its reports, and then itself, so
// that reports never outlive it.
func (r *ProxyInstanceReconciler) release(ctx context.Context, d deceased, reports []*v1alpha1.ProxyReport) error {
	for _, report := range reports {
		if err := r.remove(ctx, report); err != nil {
			return fmt.Errorf("removing ProxyReport %s: %w", report.Name, err)
		}
		// The watch may have said so before the answer to the seal came, which has put it back.
		r.Books.RemoveReport(client.ObjectKeyFromObject(report))
	}
	if d.instance == nil {
		return nil
	}
	if err := r.remove(ctx, d.instance.DeepCopy()); err != nil {
		return fmt.Errorf("removing ProxyInstance %s: %w", d.key, err)
	}
	ctrl.LoggerFrom(ctx).Info("took the numbers of a process that is gone into the books", "reports", len(reports))
	return nil
}

// remove takes the finalizer off an object and deletes it.
func (r *ProxyInstanceReconciler) remove(ctx context.Context, object client.Object) error {
	uid := object.GetUID()
	stored, _ := object.DeepCopyObject().(client.Object)
	if controllerutil.RemoveFinalizer(object, v1alpha1.FoldFinalizer) {
		lock := client.MergeFromWithOptions(stored, client.MergeFromWithOptimisticLock{})
		if err := r.Client.Patch(ctx, object, lock, fieldOwner); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return client.IgnoreNotFound(r.Client.Delete(ctx, object, client.Preconditions{UID: &uid}))
}
