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
	// bodyStep is the least that the buffer of a body of unknown length grows by.
	bodyStep = 32 << 10
	// keepBody is the largest body buffer that is kept for the next request.
	keepBody = 64 << 10
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

// read appends the request's body to dst. It returns the bytes reserved in the budget also when it fails;
// the caller gives them back once it lets go of the body.
func (b *bodyReader) read(ctx *fasthttp.RequestCtx, dst []byte) (body []byte, reserved int64, err error) {
	length := int64(ctx.Request.Header.ContentLength())
	if length > b.limit {
		return dst, 0, errBodyTooLarge
	}
	stream := ctx.RequestBodyStream()
	if stream == nil || length == 0 {
		return dst, 0, nil
	}
	if length < 0 {
		return b.readUnknown(ctx.Conn(), stream, dst)
	}
	if !b.budget.take(length) {
		return dst, 0, errBodyBudget
	}
	dst, err = readExactly(ctx.Conn(), stream, slices.Grow(dst, int(length)), int(length))
	return dst, length, err
}

// readExactly appends n bytes of stream to dst, whose capacity suffices. The connection's deadline moves
// with every piece, so that a slow upload may go on and a dead one may not.
func readExactly(conn net.Conn, stream io.Reader, dst []byte, n int) ([]byte, error) {
	end := len(dst) + n
	for len(dst) < end {
		got, err := stream.Read(dst[len(dst):end])
		dst = dst[:len(dst)+got]
		if len(dst) == end {
			break
		}
		if err != nil {
			return dst, errUploadBroke
		}
		if err := conn.SetReadDeadline(time.Now().Add(uploadStall)); err != nil {
			return dst, errUploadBroke
		}
	}
	return dst, nil
}

// readUnknown reads a chunked body, reserving the buffer as it grows.
func (b *bodyReader) readUnknown(conn net.Conn, stream io.Reader, dst []byte) (body []byte, reserved int64, err error) {
	for {
		if len(dst) == cap(dst) || reserved == 0 {
			more := max(bodyStep, cap(dst))
			if !b.budget.take(int64(more)) {
				return dst, reserved, errBodyBudget
			}
			reserved += int64(more)
			dst = slices.Grow(dst, more)
		}
		if err := conn.SetReadDeadline(time.Now().Add(uploadStall)); err != nil {
			return dst, reserved, errUploadBroke
		}
		n, err := stream.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		switch {
		case int64(len(dst)) > b.limit:
			return dst, reserved, errBodyTooLarge
		case errors.Is(err, io.EOF):
			return dst, reserved, nil
		case err != nil:
			return dst, reserved, errUploadBroke
		}
	}
}
