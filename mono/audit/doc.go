// Package audit keeps an append-only log of who did what, which shows when it was changed.
package audit
