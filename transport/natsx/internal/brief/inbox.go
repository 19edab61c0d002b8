package brief

import "strings"

// Cut returns the text after the number in the reply subject of a request. It reports false for
// a subject of another form. A gateway puts more tokens before the subject.
func Cut(reply string) (text string, ok bool) {
	dot := strings.LastIndexByte(reply, '.')
	number, text, ok := strings.Cut(reply[dot+1:], string(Mark))
	return text, ok && Number(number) != 0 && dot >= 0 && endsInInbox(reply[:dot])
}

// inboxID is the length of the id of an inbox of nats.go.
const inboxID = 22

// endsInInbox reports whether the last token of a subject is the id of an inbox. So the subject
// of a message with a key, which may be any text, is not taken for that of a reply.
func endsInInbox(subject string) bool {
	id := len(subject) - inboxID
	if id < 1 || subject[id-1] != '.' {
		return false
	}
	for _, c := range []byte(subject[id:]) {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			return false
		}
	}
	return true
}

// Number returns the number of a request from the last token of its reply subject, or 0. It is in
// base 36, as strconv writes it.
func Number(token string) (number uint64) {
	for i := 0; i < len(token) && token[i] != Mark; i++ {
		digit := token[i]
		switch {
		case i == maxDigits:
			return 0
		case '0' <= digit && digit <= '9':
			digit -= '0'
		case 'a' <= digit && digit <= 'z':
			digit -= 'a' - 10
		default:
			return 0
		}
		number = number*36 + uint64(digit)
	}
	return number
}

// maxDigits is the number of digits that always fit in 64 bits.
const maxDigits = 12
