package redact

import "strings"

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
	if isAddressee(t.s[user:colon], t.open > 0) && !strings.ContainsAny(host, ":/(") {
		return false
	}
	t.replace(colon+1, at, Mark)
	return true
}

// isAddressee reports the name of a mail address: email:ada@example.com. In what fmt printed it can
// also be the name of a person.
func isAddressee(name string, printed bool) bool {
	start := 0
	for i := 0; i < len(name); {
		s, end := nextWord(name, i)
		if s < end {
			start = s
		}
		i = end
	}
	switch strings.ToLower(name[start:]) {
	case "email", "mail", "mailto", "to", "from", "cc", "bcc", "by", "recipient", "sender", "contact", "address", "sip", "acct":
		return true
	case "user", "username", "login", "owner", "author", "addr", "account", "customer", "name", "id":
		return printed
	}
	return false
}
