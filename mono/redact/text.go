package redact

import (
	"bytes"
	"encoding/base64"
	"strings"
)

const (
	maxText = 1 << 20 // bytes of a text that is searched; the rest is cut
	maxName = 64      // bytes of a name in a text
)

// text returns a text without its secrets, the same string if there are none. depth is the number of
// texts around it, of JSON in strings.
func (r *Redactor) text(s string, depth int) string {
	if len(s) > maxText {
		return r.text(s[:maxText], depth) + truncated
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
	start int    // where the search for names begins: behind the last secret
	open  int    // brackets that are open
	url   word   // the last one with a URL
	mail  word   // the last one with an @
	noJWT int    // no JSON Web Token begins before
	out   []byte // the text up to done, without its secrets
	done  int
}

func (t *scanner) scan() {
	for t.i < len(t.s) {
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

// userinfo redacts the password of a URL whose "://" is at the position.
func (t *scanner) userinfo() bool {
	from := t.i + len("://")
	t.url.read(t.s, from, " \t\r\n\"'`<>\\")
	host := from
	for host < t.url.end && strings.IndexByte("/?#", t.s[host]) < 0 {
		host++
	}
	at := strings.LastIndexByte(t.s[from:host], '@')
	colon := strings.IndexByte(t.s[from:host], ':')
	if at < 0 && colon >= 0 && !isPort(t.s[from+colon+1:host]) {
		at = t.url.at - from // the password has a slash
	}
	switch {
	case at < 0:
		return false
	case colon >= 0 && colon < at:
		t.replace(from+colon+1, from+at, Mark)
		return true
	case at > 0 && t.nameIsSecret():
		t.replace(from, from+at, Mark)
		return true
	}
	return false
}

// word is a part of a text up to its end, and its last @ or -1.
type word struct{ end, at int }

// read reads the word at a position, up to one of the bytes of stop. Each word is read once.
func (w *word) read(s string, from int, stop string) {
	if from < w.end {
		return
	}
	w.at = -1
	for w.end = from; w.end < len(s) && strings.IndexByte(stop, s[w.end]) < 0; w.end++ {
		if s[w.end] == '@' {
			w.at = w.end
		}
	}
}

// isPort reports the port of a URL, or what may follow it in a text.
func isPort(s string) bool {
	return s == "" || isDigit(s[0]) && isCount(strings.TrimRight(s, ".,;:)]}"))
}

// nameIsSecret reports whether a user alone is a token, by the scheme before the position.
func (t *scanner) nameIsSecret() bool {
	scheme, _ := t.nameBefore(t.i)
	switch strings.ToLower(scheme) {
	case "http", "https", "ws", "wss", "nats", "tls":
		return true
	}
	return false
}

// address redacts the password of user:password@host with its "@" at the position.
func (t *scanner) address() bool {
	user := t.i
	for user > t.start && t.i-user < 4*maxName && strings.IndexByte(" \t\r\n\"'`<>=,;([{", t.s[user-1]) < 0 {
		user--
	}
	colon := user + strings.IndexByte(t.s[user:t.i], ':')
	if colon <= user || colon+1 == t.i || strings.HasPrefix(t.s[colon:], "://") {
		return false
	}
	t.mail.read(t.s, t.i, " \t\r\n\"'`<>,;{}")
	at := t.mail.at
	host := t.s[at+1 : t.mail.end]
	if host == "" || !isWord(host[0]) && host[0] != '[' {
		return false
	}
	if isAddressee(t.s[user:colon]) && !strings.ContainsAny(host, ":/(") {
		return false
	}
	t.replace(colon+1, at, Mark)
	return true
}

// isAddressee reports the name of a mail address: email:ada@example.com.
func isAddressee(name string) bool {
	start := 0
	for i := 0; i < len(name); {
		s, end := nextWord(name, i)
		if s < end {
			start = s
		}
		i = end
	}
	switch strings.ToLower(name[start:]) {
	case "email", "mail", "mailto", "to", "from", "cc", "bcc", "user", "username", "login", "owner", "author",
		"contact", "address", "addr", "by", "account", "customer", "recipient", "sender", "name", "id", "sip", "acct":
		return true
	}
	return false
}

// form redacts a word at the position that is a secret by its form.
func (t *scanner) form() bool {
	switch s := t.s[t.i:]; s[0] {
	case 'e':
		if t.i < t.noJWT {
			return false
		}
		n, ok := jwtLen(s)
		if ok {
			t.replace(t.i, t.i+n, Mark)
			return true
		}
		t.noJWT = t.i + n
	case 'S':
		if isSeed(s) {
			t.replace(t.i, t.i+seedLen, Mark)
			return true
		}
	default:
		return t.credentials()
	}
	return false
}

// jwtLen reports whether a text begins with a JSON Web Token, and the length of the run of its characters.
func jwtLen(s string) (n int, ok bool) {
	if !strings.HasPrefix(s, "eyJ") {
		return 0, false
	}
	for ; n < len(s); n++ {
		c := s[n]
		if c == '.' {
			ok = true
		} else if c >= 0x80 || !isWord(c) && c != '_' && c != '-' {
			break
		}
	}
	return n, ok
}

// seedLen is the length of a NATS seed.
const seedLen = 58

// isSeed reports whether a text begins with a NATS seed.
func isSeed(s string) bool {
	if len(s) < seedLen || len(s) > seedLen && isWord(s[seedLen]) || strings.IndexByte("OAUNCX", s[1]) < 0 {
		return false
	}
	for i := range seedLen {
		if !isUpper(s[i]) && (s[i] < '2' || s[i] > '7') {
			return false
		}
	}
	return true
}

// credentials redacts the word behind Bearer, and behind Basic if it is user:password in base64.
func (t *scanner) credentials() bool {
	s := t.s[t.i:]
	for _, scheme := range [...]string{"bearer ", "basic "} {
		if len(s) <= len(scheme) || !strings.EqualFold(s[:len(scheme)], scheme) {
			continue
		}
		from := t.i + len(scheme)
		for from < len(t.s) && t.s[from] == ' ' {
			from++
		}
		if scheme == "basic " && !isBasic(t.s[from:]) {
			return false
		}
		if quoteAt(t.s[from:]) > 0 {
			return t.value(from, value{})
		}
		to := t.endOfWord(from)
		switch strings.ToLower(t.s[from:to]) {
		case "", "bearer", "basic", "token", "tokens", "auth", "authentication", "authorization":
			return false
		}
		t.replace(from, to, Mark)
		return true
	}
	return false
}

// isBasic reports whether a text begins with user:password in base64.
func isBasic(s string) bool {
	n := 0
	for n < len(s) && (isWord(s[n]) || strings.IndexByte("+/=", s[n]) >= 0) {
		n++
	}
	decoded, err := base64.StdEncoding.DecodeString(s[:n])
	return err == nil && bytes.IndexByte(decoded, ':') >= 0
}

// pem redacts a private key in PEM that begins at the position.
func (t *scanner) pem() bool {
	const begin, dashes = "-----BEGIN ", "-----"
	s := t.s[t.i:]
	if !strings.HasPrefix(s, begin) {
		return false
	}
	header := strings.Index(s[len(begin):], dashes)
	if header < 0 || header > maxName || !strings.HasSuffix(s[len(begin):len(begin)+header], "PRIVATE KEY") {
		return false
	}
	from := len(begin) + header + len(dashes)
	to := len(s)
	if i := strings.Index(s[from:], "-----END "); i >= 0 {
		to = from + i
	}
	t.replace(t.i+from, t.i+to, Mark)
	return true
}
