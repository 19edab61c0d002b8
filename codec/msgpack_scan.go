package codec

// wellFormed checks that data is exactly one item, nested no deeper than MaxDepth. It allocates
// nothing for the message. Later readers need not check for its end.
func wellFormed(data []byte) *Error {
	if len(data) == 0 {
		return &Error{Offset: 0, Err: problem("the message is empty")}
	}
	end, err := scan(data, 0)
	if err == nil && end < len(data) {
		err = &Error{Offset: int64(end), Err: problem("there are more bytes after the value")}
	}
	return err
}

// scan returns the end of the item at pos. It keeps a stack: the number of remaining items at
// each level.
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
