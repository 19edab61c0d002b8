package redact

import "strings"

// term is an entry in the list of words.
type term struct {
	secret  bool
	counted bool // its numbers are counts
	ending  bool // longer words that end in it count as well
}

// terms are the words of the names of secrets, alone or two together.
var terms = make(map[string]term)

// descriptive words at the end of a name make it a property of a secret.
var descriptive = make(map[string]bool)

func init() {
	for _, w := range strings.Fields(`passcode pwd jwt bearer otp cvv cvc authorization cookie credential session
		privatekey secretkey accesskey accountkey sharedkey signingkey encryptionkey
		dsn connectionstring connstring sig amzsignature googsignature`) {
		terms[w] = term{secret: true}
		terms[w+"s"] = term{secret: true, counted: true}
	}
	for _, w := range strings.Fields("password passwd passphrase secret token apikey") {
		terms[w] = term{secret: true, ending: true}
		terms[w+"s"] = term{secret: true, counted: true, ending: true}
	}
	for _, w := range strings.Fields("pass seed seeds passes") {
		terms[w] = term{secret: true, counted: true}
	}
	for _, w := range strings.Fields(`age algorithm at attempts class count counter dir directory disabled domain duration
		enabled endpoint error expired expires expiration expiry file filename format found in issuer kind left
		len length lifetime limit limits manager max min missing mode name names path paths policy present
		provider rate remaining required rotated service set size source state status store subject through
		timeout total ttl type uri url used valid validated verified version`) {
		descriptive[w] = true
	}
}

// verdict is the result for a name, a tag or a type.
type verdict struct {
	secret  bool
	counted bool // numbers are counts
	certain bool // by a tag or a type: times and bools are secrets, too
	last4   bool
}

// maxWord is the number of letters of a word that matter, from its end.
const maxWord = 32

// name returns the verdict on a name.
func (r *Redactor) name(name string) (v verdict) {
	if len(name) < 3 || len(r.except) > 0 && r.except[letters(name)] {
		return verdict{}
	}
	var (
		pair   [2 * maxWord]byte // the word before, and the word, in lower case
		before int               // the length of the word before
		about  bool              // the last word is descriptive
	)
	for i := 0; i < len(name); {
		start, end := nextWord(name, i)
		i = end
		if start == end || isDigit(name[start]) {
			continue
		}
		n := before
		for _, c := range []byte(name[max(start, end-maxWord):end]) {
			if isUpper(c) {
				c += 'a' - 'A'
			}
			pair[n] = c
			n++
		}
		v.add(lookUp(pair[before:n]))
		if before > 0 {
			v.add(terms[string(pair[:n])])
		}
		about = descriptive[string(pair[before:n])]
		before = copy(pair[:], pair[before:n])
	}
	if len(r.names) > 0 && r.added(name) {
		v = verdict{secret: true}
		about = about && !r.names[letters(name)]
	}
	if about {
		return verdict{}
	}
	return v
}

// add adds what a word says to the verdict. Numbers are counts if each term has counts.
func (v *verdict) add(t term) {
	if t.secret {
		v.counted = t.counted && (v.counted || !v.secret)
		v.secret = true
	}
}

// added reports whether a name has the words of an added name, one after another.
func (r *Redactor) added(name string) bool {
	for from := 0; from < len(name); {
		start, end := nextWord(name, from)
		for i := end; ; {
			if r.names[letters(name[start:i])] {
				return true
			}
			if i == len(name) {
				break
			}
			_, i = nextWord(name, i)
		}
		from = end
	}
	return false
}

// lookUp returns the entry for a word, or for one that it ends in.
func lookUp(word []byte) term {
	if t, ok := terms[string(word)]; ok {
		return t
	}
	for size := min(len(word)-1, maxEnding); size >= minEnding; size-- {
		if t := terms[string(word[len(word)-size:])]; t.ending {
			return t
		}
	}
	return term{}
}

// minEnding and maxEnding are the lengths of the terms that longer words end in.
const minEnding, maxEnding = len("token"), len("passphrases")

// nextWord returns the range of the first word of a name from a position on. It is empty at the end.
func nextWord(name string, i int) (start, end int) {
	for i < len(name) && !isWord(name[i]) {
		i++
	}
	for start = i; i < len(name) && isWord(name[i]); i++ {
		if i == start {
			continue
		}
		a, b := name[i-1], name[i]
		if isDigit(a) != isDigit(b) || isLower(a) && isUpper(b) ||
			isUpper(a) && isUpper(b) && i+1 < len(name) && isLower(name[i+1]) {
			break
		}
	}
	return start, i
}

// letters returns the letters and digits of a name, in lower case.
func letters(name string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case 'A' <= c && c <= 'Z':
			return c + 'a' - 'A'
		case c < 0x80 && !isWord(byte(c)):
			return -1
		}
		return c
	}, name)
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' || c >= 0x80 }
func isUpper(c byte) bool { return 'A' <= c && c <= 'Z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isWord(c byte) bool  { return isLower(c) || isUpper(c) || isDigit(c) }
