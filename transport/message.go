package transport

import "slices"

// Message is what a transport carries.
type Message struct {
	// Subject is where it goes; on a received message, where it went.
	Subject string

	// Reply, unless empty, is the subject on which its sender waits for answers.
	Reply string

	// Header holds what is said about the body. It may be nil.
	Header Header

	// Body is carried as it is. An empty body and a nil one are the same.
	Body []byte
}

// Validate reports, as an InvalidArgument, a subject that is no subject (a
// pattern is none), a reply that is neither empty nor a subject, and a header
// that cannot be carried. Every backend calls it first in Publish, Request and
// Append.
func (m *Message) Validate() error {
	if err := ValidateSubject(m.Subject); err != nil {
		return err
	}
	if m.Reply != "" {
		if err := ValidateSubject(m.Reply); err != nil {
			return err
		}
	}
	return m.Header.Validate()
}

// Size is what a message counts against the payload limit: its body, and its
// header as NATS writes it.
func (m *Message) Size() int {
	return m.Header.size() + len(m.Body)
}

// CheckSize reports a message that is larger than limit bytes, with both sizes.
// A limit of 0 is none.
func (m *Message) CheckSize(limit int) error {
	if size := m.Size(); limit > 0 && size > limit {
		return Errorf(InvalidArgument, OutcomeNotDone,
			"message on %q has %d bytes with its header, the transport carries at most %d: send less, or a reference to where it is stored",
			m.Subject, size, limit)
	}
	return nil
}

// Clone returns a copy that shares nothing with m.
func (m *Message) Clone() *Message {
	c := m.withHeader()
	c.Body = slices.Clone(m.Body)
	return c
}

// withHeader returns a copy that shares the body alone. A short header lies in one
// piece of memory with it.
func (m *Message) withHeader() *Message {
	switch n := len(m.Header); {
	case n == 0:
		c := *m
		return &c
	case n <= 2:
		c := new(struct {
			Message
			fields [2]Field
		})
		return m.copyTo(&c.Message, c.fields[:0])
	case n <= 4:
		c := new(struct {
			Message
			fields [4]Field
		})
		return m.copyTo(&c.Message, c.fields[:0])
	default:
		return m.copyTo(new(Message), make(Header, 0, n))
	}
}

func (m *Message) copyTo(c *Message, fields Header) *Message {
	c.Subject, c.Reply, c.Body = m.Subject, m.Reply, m.Body
	c.Header = append(fields, m.Header...)
	return c
}
