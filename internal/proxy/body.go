// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// uploadStall is how long a caller may pause while it sends its body.
	uploadStall = 30 * time.Second
	// uploadRate is the least average speed of an upload after its first uploadStall, in bytes per second: a
	// body that trickles in holds memory that others need.
	uploadRate = 16 << 10
	// bodyStep is the least that the buffer of a body grows by.
	bodyStep = 32 << 10
	// keepBody is the largest body buffer that is kept for the next request.
	keepBody = 64 << 10
	// discardLimit and discardTime bound what is still read of a body that was refused. A connection that is
	// closed with bytes unread is reset, and the caller may lose the refusal with it.
	discardLimit = 64 << 20
	discardTime  = 2 * time.Second
)

// budget bounds the bytes of all request bodies held at once.
type budget struct{ left atomic.Int64 }

// take reserves n bytes, or reports that they are not to be had.
func (b *budget) take(n int64) bool {
	if b.left.Add(-n) >= 0 {
		return true
	}
	b.left.Add(n)
	return false
}

func (b *budget) give(n int64) { b.left.Add(n) }

// Why a request body was not taken.
var (
	errBodyTooLarge = errors.New("request body too large")
	errBodyBudget   = errors.New("request bodies use all the memory set aside for them")
	errUploadBroke  = errors.New("upload broke off")
)

// bodyReader takes request bodies whole, within a limit for each and a budget for all: a body is needed
// again for every attempt until the answer is committed.
type bodyReader struct {
	limit  int64
	budget budget
}

// read appends the request's body to dst. Memory is reserved in the budget as the body arrives, not as it is
// announced. What is reserved is returned also when it fails; the caller gives it back once it lets go of the body.
func (b *bodyReader) read(ctx *fasthttp.RequestCtx, dst []byte) (body []byte, reserved int64, err error) {
	length := int64(ctx.Request.Header.ContentLength())
	if length > b.limit {
		return dst, 0, errBodyTooLarge
	}
	stream := ctx.RequestBodyStream()
	if stream == nil || length == 0 {
		return dst, 0, nil
	}
	start := time.Now()
	for {
		if more := roomFor(dst, length); more > 0 {
			if !b.budget.take(int64(more)) {
				return dst, reserved, errBodyBudget
			}
			reserved += int64(more)
			dst = slices.Grow(dst, more)
		}
		n, err := stream.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		switch {
		case int64(len(dst)) > b.limit:
			return dst, reserved, errBodyTooLarge
		case int64(len(dst)) == length, length < 0 && errors.Is(err, io.EOF):
			return dst, reserved, nil
		case err != nil:
			return dst, reserved, errUploadBroke
		}
		if err := waitForUpload(ctx.Conn(), start, len(dst)); err != nil {
			return dst, reserved, errUploadBroke
		}
	}
}

// roomFor is by how much the buffer must grow before more of a body of that length (negative: unknown) is read.
// The first piece is accounted for even when the buffer is there already.
func roomFor(dst []byte, length int64) int {
	if len(dst) > 0 && len(dst) < cap(dst) {
		return 0
	}
	more := max(bodyStep, len(dst))
	if length >= 0 {
		more = min(more, int(length)-len(dst))
	}
	return more
}

// waitForUpload lets the caller be silent for a while longer, within the time that the bytes so far are worth.
func waitForUpload(conn net.Conn, start time.Time, bytes int) error {
	end := start.Add(uploadStall + time.Duration(bytes/uploadRate)*time.Second)
	return conn.SetReadDeadline(earlier(time.Now().Add(uploadStall), end))
}

// discard reads what is left of a body that was refused, within bounds.
func discard(ctx *fasthttp.RequestCtx) {
	stream := ctx.RequestBodyStream()
	if stream == nil || ctx.Conn().SetReadDeadline(time.Now().Add(discardTime)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, stream, discardLimit) // what stays unread ends the connection
	_ = ctx.Conn().SetReadDeadline(time.Time{})
}
