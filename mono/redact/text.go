package redact

import "strings"

const (
	maxText = 1 << 20 // bytes of a text; the rest is cut
	maxName = 64      // bytes of a name in a text
)

// text returns a text without its secrets, the same string if there are none. depth is the number of
// texts around it, of JSON in strings.
func (r *Redactor) text(s string, depth int) string {
	if len(s) > maxText { // a secret is not cut in two
		return r.text(s[:strings.LastIndexAny(s[:maxText], " \t\r\n")+1], depth) + truncated
	}
	if out, ok := r.json(s, depth); ok {
		return out
	}
	t := scanner{r: r, s: s}
	t.scan()
	if t.out == nil {
		return s
	}
	return string(append(t.out, s[t.done:]...))
}

// scanner searches a text that is not JSON. It reads the text once, from the left.
type scanner struct {
	r     *Redactor
	s     string
	i     int    // the position
	start int    // the end of the last secret, before which no name begins
	open  int    // brackets that are open
	url   word   // the last one with a URL
	mail  word   // the last one with an @
	noJWT int    // no JSON Web Token begins before
	out   []byte // the text up to done, without its secrets
	done  int
}

// special are the bytes that scan looks at.
var special = [256]bool{
	'{': true, '[': true, '(': true, '}': true, ']': true, ')': true, ':': true, '=': true, '@': true, '-': true,
	'e': true, 'S': true, 'b': true, 'B': true,
}

func (t *scanner) scan() {
	for t.i < len(t.s) {
		if !special[t.s[t.i]] {
			t.i++
			continue
		}
		switch c := t.s[t.i]; {
		case c == '{' || c == '[' || c == '(':
			t.open++
		case c == '}' || c == ']' || c == ')':
			t.open = max(t.open-1, 0)
		case c == ':' && strings.HasPrefix(t.s[t.i:], "://"):
			if t.userinfo() {
				continue
			}
		case c == ':' || c == '=':
			if t.assignment() {
				continue
			}
		case c == '@':
			if t.address() {
				continue
			}
		case c == '-':
			if t.flag() || t.pem() {
				continue
			}
		case (c == 'e' || c == 'S' || c|0x20 == 'b') && t.wordStarts():
			if t.form() {
				continue
			}
		}
		t.i++
	}
}

// replace replaces the bytes between two positions, and continues behind them.
func (t *scanner) replace(from, to int, by string) {
	if t.s[from:to] != by {
		t.out = append(append(t.out, t.s[t.done:from]...), by...)
		t.done = to
	}
	t.i, t.start = to, to
}

// redact replaces a secret, unless it is redacted.
func (t *scanner) redact(from, to int) {
	by := Mark
	if isRedacted(t.s[from:to]) {
		by = t.s[from:to]
	}
	t.replace(from, to, by)
}

// isRedacted reports a text that is [Mark], or its last four bytes are shown.
func isRedacted(s string) bool { return strings.HasPrefix(s, Mark) && len(s) <= len(Mark)+4 }

func (t *scanner) wordStarts() bool { return t.i == t.start || !isWord(t.s[t.i-1]) }

// assignment redacts the value of a name before the separator at the position.
func (t *scanner) assignment() bool {
	name, quote := t.nameBefore(t.i)
	if name == "" {
		return false
	}
	v := t.r.name(name)
	if !v.secret {
		return false
	}
	sep := t.i
	from := sep + 1
	for from < len(t.s) && strings.IndexByte("=>:", t.s[from]) >= 0 { // := => ==
		from++
	}
	spaces := from
	for from < len(t.s) && (t.s[from] == ' ' || t.s[from] == '\t') {
		from++
	}
	return t.value(from, value{
		verdict: v,
		quote:   quote,
		printed: t.open > 0 && t.s[sep] == ':',
		header:  t.s[sep] == ':' && from > spaces && isHeader(name),
	})
}

// isHeader reports the name of an HTTP header whose value has spaces.
func isHeader(name string) bool {
	for _, h := range [...]string{"authorization", "cookie"} {
		if len(name) >= len(h) && strings.EqualFold(name[len(name)-len(h):], h) {
			return true
		}
	}
	return false
}

// nameBefore returns the name that ends before a position, and its quote, with backslashes.
func (t *scanner) nameBefore(end int) (name, quote string) {
	for spaces := 0; end > t.start && t.s[end-1] == ' ' && spaces < 4; spaces++ {
		end--
	}
	if end > t.start && isQuote(t.s[end-1]) {
		i := end - 1
		for i > t.start && t.s[i-1] == '\\' {
			i--
		}
		quote, end = t.s[i:end], i
	}
	i := end
	for i > t.start && end-i < maxName && isNamePart(t.s[i-1]) {
		i--
	}
	return t.s[i:end], quote
}

func isQuote(c byte) bool    { return c == '"' || c == '\'' || c == '`' }
func isNamePart(c byte) bool { return isWord(c) || c == '_' || c == '-' || c == '.' }

// value describes a value in a text by its surroundings.
type value struct {
	verdict
	quote   string // of its name
	printed bool   // by %+v, in brackets: it may have spaces
	header  bool   // it goes to the end of the line
}

// value redacts the value that begins at a position.
func (t *scanner) value(from int, v value) bool {
	if from == len(t.s) {
		return false
	}
	if size := quoteAt(t.s[from:]); size > 0 {
		inner := from + size
		to := t.closing(inner, t.s[from:inner])
		if v.counted && isCount(t.s[inner:to]) || t.r.name(t.s[inner:to]).secret && t.nameAt(from) {
			return false // a number, or the name of another secret
		}
		t.redact(inner, to)
		return true
	}
	to := t.endOf(from, v)
	if from == to || isNothing(t.s[from:to]) || v.counted && isCount(t.s[from:to]) {
		return false
	}
	if v.quote != "" { // in JSON
		t.replace(from, to, v.quote+Mark+v.quote)
	} else {
		t.redact(from, to)
	}
	return true
}

// quoteAt returns the length of the quote that a text begins with, backslashes included.
func quoteAt(s string) int {
	i := 0
	for i < len(s) && s[i] == '\\' {
		i++
	}
	if i < len(s) && isQuote(s[i]) {
		return i + 1
	}
	return 0
}

// closing returns the position of the quote that closes a quoted text.
func (t *scanner) closing(from int, quote string) int {
	c, escapes := quote[len(quote)-1], len(quote)-1
	slashes := 0
	for i := from; i < len(t.s); i++ {
		switch {
		case t.s[i] == '\\':
			slashes++
			continue
		case t.s[i] == c && (escapes > 0 && slashes == escapes || escapes == 0 && (slashes%2 == 0 || c == '`')):
			return i - escapes
		}
		slashes = 0
	}
	return len(t.s)
}

// endOf returns the end of a value that has no quotes.
func (t *scanner) endOf(from int, v value) int {
	switch {
	case v.printed:
		return t.endOfPrinted(from)
	case v.header:
		if i := strings.IndexAny(t.s[from:], "\r\n"); i >= 0 {
			return from + i
		}
		return len(t.s)
	}
	to := t.endOfWord(from)
	if isScheme(t.s[from:to]) && to+1 < len(t.s) && t.s[to] == ' ' {
		to = t.endOfWord(to + 1)
	}
	return to
}

// isScheme reports a word before credentials.
func isScheme(s string) bool {
	for _, scheme := range [...]string{"Bearer", "Basic", "Digest", "Token", "Negotiate", "ApiKey"} {
		if strings.EqualFold(s, scheme) {
			return true
		}
	}
	return false
}

// endOfPrinted returns the end of a value that %+v printed, in a struct or a map: the bracket that
// closes it, or the name behind it.
func (t *scanner) endOfPrinted(from int) int {
	open := 0
	for i := from; i < len(t.s); i++ {
		switch c := t.s[i]; c {
		case '{', '[', '(':
			open++
		case '}', ']', ')':
			if open == 0 && t.boundary(i) {
				return i
			}
			open = max(open-1, 0)
		case ' ', ',', ';':
			if open == 0 && t.nameAt(i+1) {
				return i
			}
		}
	}
	return len(t.s)
}

// endOfWord returns the end of a value in plain text: a space, or punctuation that ends it. A value
// in brackets ends with them.
func (t *scanner) endOfWord(from int) int {
	open := 0
	for i := from; i < len(t.s); i++ {
		switch c := t.s[i]; c {
		case '{', '[', '(':
			if i == from || open > 0 {
				open++
			}
		case '}', ']', ')':
			if open > 0 {
				if open--; open == 0 && t.boundary(i) {
					return i + 1
				}
			} else if t.boundary(i) {
				return i
			}
		case ' ', '\t', '\n', '\r':
			if open == 0 {
				return i
			}
		case ',', ';', '&', '|':
			if open == 0 && (t.boundary(i) || t.nameAt(i+1)) {
				return i
			}
		case '"', '\'', '`', '\\':
			if size := quoteAt(t.s[i:]); size > 0 && open == 0 && t.boundary(i+size-1) {
				return i
			}
		}
	}
	return len(t.s)
}

// boundary reports whether the byte at a position can end a value: what follows does not belong to it.
func (t *scanner) boundary(i int) bool {
	return i+1 >= len(t.s) || strings.IndexByte(" \t\r\n,;:.)]}>\"'`\\", t.s[i+1]) >= 0
}

// nameAt reports whether a name with a separator begins at a position.
func (t *scanner) nameAt(i int) bool {
	for i < len(t.s) && t.s[i] == ' ' {
		i++
	}
	i += quoteAt(t.s[i:])
	start := i
	for i < len(t.s) && i-start < maxName && isNamePart(t.s[i]) {
		i++
	}
	if i == start {
		return false
	}
	i += quoteAt(t.s[i:])
	return i < len(t.s) && (t.s[i] == ':' || t.s[i] == '=') && !strings.HasPrefix(t.s[i:], "://")
}

// isNothing reports a text that shows the absence of a secret.
func isNothing(s string) bool {
	switch s {
	case "nil", "<nil>", "null", "true", "false":
		return true
	}
	return false
}

// isCount reports a text that is a number.
func isCount(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) && s[i] != '.' {
			return false
		}
	}
	return s != ""
}

// flag redacts the value of --name value.
func (t *scanner) flag() bool {
	if !strings.HasPrefix(t.s[t.i:], "--") || t.i > 0 && strings.IndexByte(" \t\n\"'`[,", t.s[t.i-1]) < 0 {
		return false
	}
	start := t.i + 2
	end := start
	for end < len(t.s) && end-start < maxName && isNamePart(t.s[end]) {
		end++
	}
	from := end
	for from < len(t.s) && (t.s[from] == ' ' || t.s[from] == '\t') {
		from++
	}
	if from == end || strings.HasPrefix(t.s[from:], "-") {
		return false
	}
	v := t.r.name(t.s[start:end])
	return v.secret && t.value(from, value{verdict: v})
}
