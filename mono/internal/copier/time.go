package copier

import (
	"time"
	"unsafe"
)

// timePart copies a time.Time as MessagePack's timestamp transfers it: the instant, in
// UTC.
type timePart struct{}

func (timePart) copy(dst, src unsafe.Pointer, _ int) bool {
	*(*time.Time)(dst) = (*time.Time)(src).UTC()
	return true
}

// rfc3339Part copies a time.Time as RFC 3339 transfers it: the instant and the offset
// from UTC, in the local zone if that has the same offset then.
type rfc3339Part struct {
	omitZero bool // the zero instant is not sent, whatever its zone
}

// The years 0 to 9999, in seconds of Unix time.
var (
	firstSecond = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	lastSecond  = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).Unix() - 1
)

func (p rfc3339Part) copy(dst, src unsafe.Pointer, _ int) bool {
	at, to := *(*time.Time)(src), (*time.Time)(dst)
	if p.omitZero && at.IsZero() {
		return true
	}
	if at.Location() == time.UTC {
		if second := at.Unix(); second < firstSecond || second > lastSecond {
			return false
		}
		*to = at.UTC()
		return true
	}
	_, offset := at.Zone()
	second := at.Unix() + int64(offset)
	if second < firstSecond || second > lastSecond || offset%60 != 0 || offset <= -day || offset >= day {
		return false
	}
	*to = inOffset(at, offset)
	return true
}

const day = 24 * 60 * 60

// inOffset returns the time as time.Time.UnmarshalJSON returns it.
func inOffset(at time.Time, offset int) time.Time {
	if offset == 0 {
		return at.UTC()
	}
	local := at.In(time.Local)
	if _, same := local.Zone(); same == offset {
		return local
	}
	return at.In(time.FixedZone("", offset))
}

// timePointerPart copies a pointer to a time that is omitted when the time is zero.
type timePointerPart struct{ pointerPart }

func (p *timePointerPart) copy(dst, src unsafe.Pointer, depth int) bool {
	if at := *(**time.Time)(src); at == nil || at.IsZero() {
		return true
	}
	return p.pointerPart.copy(dst, src, depth)
}
