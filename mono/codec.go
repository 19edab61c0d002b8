package mono

import (
	"fmt"
	"reflect"

	"gomono.dev/codec"
)

// contain returns a codec that turns the panics of a user's codec into errors. The
// codecs of package codec do not panic.
func (in *instance) contain(k codec.Codec) codec.Codec {
	switch k {
	case nil, codec.JSON, codec.MessagePack, codec.Raw:
		return k
	}
	return &contained{k, in}
}

type contained struct {
	codec.Codec
	in *instance
}

func (k *contained) Marshal(v any) (data []byte, err error) {
	err = guard("the codec of "+k.ContentType(), k.in.panicked, func() (err error) {
		data, err = k.Codec.Marshal(v)
		return err
	})
	return data, err
}

func (k *contained) Unmarshal(data []byte, v any) error {
	return guard("the codec of "+k.ContentType(), k.in.panicked, func() error { return k.Codec.Unmarshal(data, v) })
}

// CheckType calls the codec's CheckType, if it is a [codec.TypeChecker]. The error has
// the form of package codec's.
func (k *contained) CheckType(t reflect.Type) error {
	if err := checkType(k.Codec, t); err != nil {
		return fmt.Errorf("%s cannot carry %v: %w", k.ContentType(), t, err)
	}
	return nil
}
