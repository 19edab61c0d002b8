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
// carried. Package driver checks it in Publish, Request and Append.
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

// CheckSize returns an error with the cause [ErrTooLarge] if the message is larger than limit
// bytes. The error names both sizes. A limit of 0 means no limit.
func (m *Message) CheckSize(limit int) error {
	if size := m.Size(); limit > 0 && size > limit {
		return tooLarge("the message has %d bytes with its header, the transport carries at most %d: send less, or a reference to the data", size, limit)
	}
	return nil
}

// Clone returns a copy that shares nothing with m.
func (m *Message) Clone() *Message {
	c := NewMessage(len(m.Header))
	c.Subject, c.Reply, c.Body = m.Subject, m.Reply, slices.Clone(m.Body)
	c.Header = append(c.Header, m.Header...)
	return c
}

// NewMessage returns a message whose header has room for the given number of fields. A
// short header is allocated together with the message.
func NewMessage(fields int) *Message {
	switch {
	case fields == 0:
		return new(Message)
	case fields == 1:
		m := new(struct {
			Message
			fields [1]Field
		})
		m.Header = m.fields[:0]
		return &m.Message
	case fields == 2:
		m := new(struct {
			Message
			fields [2]Field
		})
		m.Header = m.fields[:0]
		return &m.Message
	case fields == 3:
		m := new(struct {
			Message
			fields [3]Field
		})
		m.Header = m.fields[:0]
		return &m.Message
	case fields == 4:
		m := new(struct {
			Message
			fields [4]Field
		})
		m.Header = m.fields[:0]
		return &m.Message
	}
	return &Message{Header: make(Header, 0, fields)}
}
