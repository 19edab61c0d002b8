package embedded

import (
	"context"
	"fmt"
	"log/slog"

	"gomono.dev/transport/natsx/internal/redact"
)

// logger writes the server's log lines without credentials, and keeps fatal ones. The server
// only reports a fatal error and continues. Its own logger would end the process.
type logger struct {
	log    *slog.Logger
	redact func(string) string
	fatal  chan string
}

func newLogger(log *slog.Logger, secrets []string) *logger {
	return &logger{
		log:    log.With("component", "nats-server"),
		redact: func(text string) string { return redact.Text(text, secrets...) },
		fatal:  make(chan string, 1),
	}
}

func (l *logger) Fatalf(format string, v ...any) {
	text := l.redact(fmt.Sprintf(format, v...))
	l.log.Error(text)
	select {
	case l.fatal <- text:
	default: // the first line is the cause
	}
}

func (l *logger) Noticef(format string, v ...any) { l.write(slog.LevelDebug, format, v) }
func (l *logger) Warnf(format string, v ...any)   { l.write(slog.LevelWarn, format, v) }
func (l *logger) Errorf(format string, v ...any)  { l.write(slog.LevelError, format, v) }
func (l *logger) Debugf(format string, v ...any)  { l.write(slog.LevelDebug, format, v) }
func (l *logger) Tracef(format string, v ...any)  { l.write(slog.LevelDebug-4, format, v) }

func (l *logger) write(level slog.Level, format string, v []any) {
	if ctx := context.Background(); l.log.Enabled(ctx, level) {
		l.log.Log(ctx, level, l.redact(fmt.Sprintf(format, v...)))
	}
}
