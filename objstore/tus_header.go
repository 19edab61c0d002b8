package objstore

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// statusChecksum is the status of the tus protocol for a content that differs from its checksum.
const statusChecksum = 460

// maxMetadata limits the header Upload-Metadata, in bytes. It is stored with the first chunk.
const maxMetadata = 4 << 10

// parseMetadata returns the pairs of the header Upload-Metadata.
func parseMetadata(text string) (map[string]string, bool) {
	all := make(map[string]string)
	if len(text) > maxMetadata {
		return nil, false
	}
	for pair := range strings.SplitSeq(text, ",") {
		key, encoded, _ := strings.Cut(strings.TrimSpace(pair), " ")
		value, err := base64.StdEncoding.DecodeString(encoded)
		_, twice := all[key]
		if err != nil || twice || key == "" && text != "" || !utf8.ValidString(key) || !utf8.Valid(value) {
			return nil, false
		}
		if key != "" {
			all[key] = string(value)
		}
	}
	return all, true
}

// formatMetadata returns the header Upload-Metadata of pairs.
func formatMetadata(all map[string]string) string {
	var pairs []string
	for _, key := range slices.Sorted(maps.Keys(all)) {
		pairs = append(pairs, strings.TrimSpace(key+" "+base64.StdEncoding.EncodeToString([]byte(all[key]))))
	}
	return strings.Join(pairs, ",")
}

// parseChecksum returns a function that compares a content with the header Upload-Checksum, nil
// if that is empty.
func parseChecksum(text string) (check func([]byte) bool, ok bool) {
	if text == "" {
		return nil, true
	}
	algorithm, encoded, _ := strings.Cut(text, " ")
	want, err := base64.StdEncoding.DecodeString(encoded)
	sums := map[string]func([]byte) []byte{
		"sha1":   func(b []byte) []byte { s := sha1.Sum(b); return s[:] },
		"sha256": func(b []byte) []byte { s := sha256.Sum256(b); return s[:] },
		"md5":    func(b []byte) []byte { s := md5.Sum(b); return s[:] },
	}
	sum := sums[algorithm]
	return func(b []byte) bool { return bytes.Equal(sum(b), want) }, err == nil && sum != nil
}
