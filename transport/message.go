package transport

import "slices"

// Message is a message that a transport carries.
type Message struct {
	// Subject is the subject that the message is sent to. On a received message, it is
	// the subject that the message was sent to.
	Subject string

	// Reply, unless empty, is the subject on which the sender waits for replies.
	Reply string

	// Header holds named values beside the body. It may be nil.
	Header Header

	// Body is carried unchanged. An empty body and a nil body are the same.
	Body []byte
}

// Validate returns an InvalidArgument for an invalid subject (a pattern is not a
// subject), a reply that is neither empty nor a subject, and a header that cannot be
// carried. Every backend calls it first in Publish, Request and Append.
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

// Size returns the number of bytes that a message counts against the payload limit: its
// body, and its header as NATS writes it.
func (m *Message) Size() int {
	return m.Header.size() + len(m.Body)
}

// CheckSize returns an error if the message is larger than limit bytes. The error names
// both sizes. A limit of 0 means no limit.
func (m *Message) CheckSize(limit int) error {
	if size := m.Size(); limit > 0 && size > limit {
		return Errorf(InvalidArgument, OutcomeNotDone,
			"the message has %d bytes with its header, the transport carries at most %d: send less, or a reference to the data", size, limit)
	}
	return nil
}

// Clone returns a copy that shares nothing with m.
func (m *Message) Clone() *Message {
	c := m.withHeader()
	c.Body = slices.Clone(m.Body)
	return c
}

// withHeader returns a copy that shares only the body with m. A short header is allocated
// together with the copy.
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
