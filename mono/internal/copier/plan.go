package copier

import (
	"fmt"
	"reflect"
	"sync"
	"unsafe"

	"gomono.dev/codec"
)

// Plan copies the values of one type as one codec would transfer them. It is immutable,
// and may be used by any number of goroutines at once.
type Plan struct {
	t       reflect.Type
	pointer reflect.Type // to t
	codec   codec.Codec
	root    *program
	doubt   error // the reason for a nil root
}

// plans are the plans for the codecs of package codec, by key. Options of a codec change only how it
// decodes what it does not write itself.
var plans sync.Map

type key struct {
	t     reflect.Type
	codec codec.Codec
}

// For returns the plan for a type and a codec.
func For(t reflect.Type, k codec.Codec) *Plan {
	if !known(codec.WithoutOptions(k)) {
		return &Plan{t: t, pointer: reflect.PointerTo(t), codec: k, doubt: fmt.Errorf("unknown codec %s", k.ContentType())}
	}
	p, ok := plans.Load(key{t, k})
	if !ok {
		p, _ = plans.LoadOrStore(key{t, k}, compile(t, k))
	}
	return p.(*Plan)
}

func known(k codec.Codec) bool {
	return k == codec.JSON || k == codec.MessagePack || k == codec.Raw
}

// RoundTripReason returns the reason why the plan always uses the codec's round trip, nil
// if it does not.
func (p *Plan) RoundTripReason() error { return p.doubt }

// EncodeError is the error of an encoder: the value would not have been sent. Its text
// is that of Err.
type EncodeError struct{ Err error }

func (e *EncodeError) Error() string { return e.Err.Error() }

// Unwrap returns the encoder's error.
func (e *EncodeError) Unwrap() error { return e.Err }

// Copy sets the value that dst points to as if the value that src points to had been
// encoded and decoded. Both are non-nil pointers to the plan's type, and dst points to
// a zero value. The two values share no memory that can be changed.
//
// An error of the encoder is an [*EncodeError], and any other error is the decoder's.
// After an error, the value that dst points to must not be used.
func (p *Plan) Copy(dst, src any) error {
	if p.root == nil {
		return p.roundTrip(dst, src)
	}
	to := p.address(dst)
	if p.root.copy(to, p.address(src), 0) {
		return nil
	}
	reflect.NewAt(p.t, to).Elem().SetZero()
	return p.roundTrip(dst, src)
}

// Copy is [Plan.Copy] for a known type: it need not use interfaces.
func Copy[T any](p *Plan, dst, src *T) error {
	if p.root == nil || p.pointer != reflect.TypeFor[*T]() || dst == nil || src == nil {
		return p.Copy(dst, src)
	}
	if p.root.copy(unsafe.Pointer(dst), unsafe.Pointer(src), 0) {
		return nil
	}
	clear(unsafe.Slice(dst, 1))
	return p.roundTrip(dst, src)
}

// address checks that x is a non-nil pointer to the plan's type, and returns it.
func (p *Plan) address(x any) unsafe.Pointer {
	if reflect.TypeOf(x) == p.pointer {
		if at := reflect.ValueOf(x).UnsafePointer(); at != nil {
			return at
		}
	}
	panic(fmt.Sprintf("copier: want a non-nil %v, got %T", p.pointer, x))
}

func (p *Plan) roundTrip(dst, src any) error {
	data, err := p.codec.Marshal(src)
	if err != nil {
		return &EncodeError{err}
	}
	return p.codec.Unmarshal(data, dst)
}
