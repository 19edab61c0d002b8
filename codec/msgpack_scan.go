package codec

// wellFormed checks that data is one whole item, nothing more, nested no deeper
// than MaxDepth. Nothing has been allocated for the message by then, and what
// reads it after that need not look out for its end.
func wellFormed(data []byte) *Error {
	if len(data) == 0 {
		return &Error{Offset: 0, Err: problem("the message is empty")}
	}
	end, err := scan(data, 0)
	if err == nil && end < len(data) {
		err = &Error{Offset: int64(end), Err: problem("there is more after the value")}
	}
	return err
}

// scan returns where the item at pos ends. It keeps its own stack: how many items
// are still to come at each level.
func scan(data []byte, pos int) (end int, err *Error) {
	var room [32]int
	pending := append(room[:0], 1)
	for len(pending) > 0 {
		top := len(pending) - 1
		if pending[top] == 0 {
			pending = pending[:top]
			continue
		}
		pending[top]--
		t, next, err := readToken(data, pos)
		if err != nil {
			return pos, &Error{Offset: int64(pos), Err: err}
		}
		switch {
		case t.body():
			next += t.size
		case t.kind != kindArray && t.kind != kindMap:
		case len(pending) > MaxDepth:
			return pos, &Error{Offset: int64(pos), Err: tooDeep}
		case t.size > 0:
			pending = append(pending, t.items())
		}
		pos = next
	}
	return pos, nil
}

var tooDeep = problemf("nested more than %d deep", MaxDepth)
