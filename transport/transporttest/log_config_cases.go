package transporttest

import (
	"slices"
	"strings"
	"time"

	"gomono.dev/transport"
)

var configCases = []conformanceCase{
	{
		name:     "config/sender",
		contract: "Without it a missing log or group is created, and an existing one stays unchanged.",
		rule:     "Without Update an existing log or group stays unchanged.",
		body: func(s *suite) {
			first := transport.LogConfig{MaxMessages: 5, MaxAge: time.Hour, Description: "first", Generation: 1, Groups: []transport.GroupConfig{{Name: "g", Filter: []string{s.subject("a")}}}}
			l := s.log(first)
			s.log(transport.LogConfig{
				MaxMessages: 9, Full: transport.DropOldest, Description: "second", Retention: transport.InterestRetention, Storage: transport.MemoryStorage, Generation: 2,
				Groups: []transport.GroupConfig{{Name: "g", Ordered: true, AckWait: 5 * time.Second}},
			})
			is := l.info().Config
			if is.MaxMessages != 5 || is.MaxAge != time.Hour || is.Full != transport.Refuse || is.Retention != transport.LimitsRetention || is.Storage != transport.FileStorage || is.Description != "first" || is.Generation != 1 {
				s.Errorf("the log became %+v", is)
			}
			if g := l.groupInfo("g").Config; g.Ordered || !slices.Equal(g.Filter, []string{s.subject("a")}) || g.AckWait != transport.DefaultAckWait {
				s.Errorf("the group became %+v", g)
			}
		},
	},
	{
		name:     "config/sender-creates",
		contract: "Without it a missing log or group is created, and an existing one stays unchanged.",
		rule:     "Without Update a missing group is created.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}}})
			l.put("a", "0")
			s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}, {Name: "h"}}})
			l.put("a", "1")
			l.consume(of("h", 1)).handles("0", "1")
			l.consume(of("g", 1)).handles("0", "1")
		},
	},
	{
		name:     "config/sender-adapts",
		contract: "Without it a missing log or group is created, and an existing one stays unchanged.",
		rule:     "Without Update the existing configuration applies, whatever was declared.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Retention: transport.InterestRetention, Subjects: []string{s.subject("a"), s.subject("b")}, Groups: []transport.GroupConfig{{Name: "g"}}})
			l.put("a", "0")
			sender := s.log(transport.LogConfig{Subjects: []string{s.subject("a"), s.subject("c")}, Groups: []transport.GroupConfig{{Name: "h"}}})
			sender.refuses("c", transport.AppendOptions{}, transport.InvalidArgument)
			sender.put("b", "1")
			l.holds("0", "1")
			h := sender.consume(of("h", 1)) // created now, in a log with InterestRetention
			h.handlesOnly(l, "a", "1")
		},
	},
	{
		name:     "config/update",
		contract: "Update changes an existing log and groups in place if their settings differ.",
		rule:     "With Update, an existing log and groups whose settings differ are changed in place. Nothing is ever deleted.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Subjects: []string{s.subject("a")}, MaxMessages: 2, Description: "old", Metadata: map[string]string{"k": "old"}})
			l.put("a", "0", "1")
			l.refuses("a", transport.AppendOptions{}, transport.ResourceExhausted)
			l = s.log(transport.LogConfig{
				Subjects: []string{s.subject("a"), s.subject("b")}, MaxMessages: 3, MaxBytes: 50_000, MaxPerSubject: 10, MaxAge: time.Hour,
				DedupWindow: time.Minute, Full: transport.DropOldest, Description: "new", Metadata: map[string]string{"k": "new"}, Update: true,
				Groups: []transport.GroupConfig{{Name: "g", Start: transport.Start{New: true}}},
			})
			l.holds("0", "1")
			l.put("b", "2", "3")
			l.holds("1", "2", "3")
			is := l.info().Config
			if is.MaxMessages != 3 || is.MaxBytes != 50_000 || is.MaxPerSubject != 10 || is.MaxAge != time.Hour || is.DedupWindow != time.Minute || is.Full != transport.DropOldest || is.Metadata["k"] != "new" || is.Description != "new" || len(is.Subjects) != 2 {
				s.Errorf("the log became %+v", is)
			}
			l.consume(of("g", 1)).handles("2", "3")
		},
	},
	{
		name:     "config/update-group",
		contract: "Update changes an existing log and groups in place if their settings differ.",
		rule:     "With Update, groups whose settings differ are changed in place; without it, they stay unchanged.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g", Filter: []string{s.subject("a")}}}})
			l.put("a", "0")
			l.put("b", "1")
			other := transport.GroupConfig{Name: "g", Filter: []string{s.subject("b")}, AckWait: 5 * time.Second}
			m := l.consume(transport.ConsumeConfig{Group: other})
			m.handlesOnly(l, "a", "0")
			s.drainMember(m)
			other.Update = true
			m = l.consume(transport.ConsumeConfig{Group: other})
			l.put("a", "no longer for it")
			m.handlesOnly(l, "b")
			if g := l.groupInfo("g").Config; !slices.Equal(g.Filter, other.Filter) || g.AckWait != other.AckWait {
				s.Errorf("the group became %+v", g)
			}
		},
	},
	{
		name:     "config/update-groups",
		contract: "Update changes an existing log and groups in place if their settings differ.",
		rule:     "Update of a log applies to its groups too.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g", AckWait: 5 * time.Second}}})
			s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g", AckWait: 7 * time.Second}}, Update: true})
			if g := l.groupInfo("g").Config; g.AckWait != 7*time.Second {
				s.Errorf("the group became %+v", g)
			}
		},
	},
	{
		name:     "config/group-metadata",
		contract: "An update sets the entries that it has, removes those with an empty value, and leaves others unchanged.",
		rule:     "An update of a group sets the Metadata entries that it has, removes those with an empty value, and leaves others unchanged.",
		body: func(s *suite) {
			metadata := func(update bool, entries map[string]string) transport.LogConfig {
				return transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g", Metadata: entries}}, Update: update}
			}
			l := s.log(metadata(true, map[string]string{"a": "1", "b": "1", "c": "1", "d": ""}))
			s.log(metadata(false, map[string]string{"a": "2"}))
			s.log(metadata(true, nil))
			s.log(metadata(true, map[string]string{"b": "3", "c": "", "e": "3"}))
			if is := l.groupInfo("g").Config.Metadata; len(is) != 3 || is["a"] != "1" || is["b"] != "3" || is["e"] != "3" {
				s.Errorf("the group has the Metadata %v", is)
			}
		},
	},
	{
		name:     "config/generation",
		contract: "A log that was last updated with a higher Generation stays unchanged",
		rule:     "A log that was last updated with a higher Generation stays unchanged.",
		body: func(s *suite) {
			group := func(wait time.Duration, generation uint64) []transport.GroupConfig {
				return []transport.GroupConfig{{Name: "g", AckWait: wait, Generation: generation}}
			}
			for _, c := range []struct {
				generation, declared, want uint64
			}{{5, 5, 5}, {6, 6, 6}, {4, 4, 6}, {0, 9, 6}, {6, 7, 7}, {8, 8, 8}} {
				wait := time.Duration(c.declared) * time.Second
				l := s.log(transport.LogConfig{MaxMessages: c.declared, Generation: c.generation, Update: true, Groups: group(wait, c.generation)})
				if is := l.info().Config; is.MaxMessages != c.want {
					s.Fatalf("generation %d changed MaxMessages to %d, want %d", c.generation, is.MaxMessages, c.want)
				}
				if g := l.groupInfo("g").Config; g.AckWait != time.Duration(c.want)*time.Second {
					s.Fatalf("generation %d changed AckWait to %v, want %d s", c.generation, g.AckWait, c.want)
				}
			}
		},
	},
	{
		name:     "config/sender-updates",
		contract: "the log only if no receiver has made or updated it with the same or a higher Generation.",
		rule:     "A Sender changes the log only if no receiver has made or updated it with the same or a higher Generation, and no group.",
		body: func(s *suite) {
			for _, c := range []struct {
				sender                     bool
				generation, declared, want uint64
			}{{true, 1, 1, 1}, {true, 1, 2, 2}, {false, 1, 3, 3}, {true, 1, 4, 3}, {true, 2, 5, 5}, {false, 1, 6, 5}, {true, 2, 7, 7}, {false, 2, 8, 8}, {true, 2, 9, 8}} {
				l := s.log(transport.LogConfig{
					MaxMessages: c.declared, Generation: c.generation, Update: true, Sender: c.sender,
					Groups: []transport.GroupConfig{{Name: "g", AckWait: time.Duration(c.declared) * time.Second, Generation: c.generation}},
				})
				if is := l.info().Config; is.MaxMessages != c.want {
					s.Fatalf("after %+v MaxMessages is %d", c, is.MaxMessages)
				}
			}
			if g := s.log(transport.LogConfig{}).groupInfo("g").Config; g.AckWait != 8*time.Second {
				s.Errorf("AckWait is %v, want that of the receiver", g.AckWait)
			}
		},
	},
	{
		name:     "config/subjects",
		contract: "So is a log that Update leaves unchanged (see Sender and Generation) and that does not store all Subjects.",
		rule:     "FailedPrecondition for a log that Update leaves unchanged and that does not store all Subjects.",
		body: func(s *suite) {
			s.log(transport.LogConfig{Subjects: []string{s.subject("a.*")}, Generation: 2, Update: true})
			a, b := []string{s.subject("a.x"), s.subject("a.*")}, []string{s.subject("a.x"), s.subject("b")}
			for _, c := range []transport.LogConfig{{Generation: 1}, {Generation: 2, Sender: true}} {
				c.Update, c.Subjects = true, a[:1]
				s.log(c)
				c.Subjects = b
				_, err := s.open(c)
				s.wantFixed(err, "Subjects", [2]string{s.subject("a.*"), s.subject("b")})
			}
		},
	},
	{
		name:     "config/older-creates",
		contract: "A log that was last updated with a higher Generation stays unchanged",
		rule:     "A log that was last updated with a higher Generation stays unchanged; missing groups are created.",
		body: func(s *suite) {
			s.log(transport.LogConfig{Generation: 5, Update: true})
			l := s.log(transport.LogConfig{Generation: 4, Update: true, Storage: transport.MemoryStorage, Groups: []transport.GroupConfig{{Name: "g"}}})
			l.put("a", "0")
			l.consume(of("g", 1)).handles("0")
		},
	},
	{
		name:     "config/fixed",
		contract: "A setting that cannot be changed is FailedPrecondition. The error names the setting, its value, the wanted value, and what to do.",
		rule:     "A setting that cannot be changed is FailedPrecondition. The error names the setting and both values. Nothing is ever deleted.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{MaxMessages: 5})
			l.put("a", "0")
			for setting, c := range map[string]transport.LogConfig{
				"Storage":   {Storage: transport.MemoryStorage},
				"Retention": {Retention: transport.InterestRetention},
			} {
				c.MaxMessages, c.Update = 7, true
				_, err := s.open(c)
				s.wantFixed(err, setting, map[string][2]string{"Storage": {"file", "memory"}, "Retention": {"limits", "interest"}}[setting])
				c.Update = false
				s.log(c)
			}
			l.holds("0")
			if is := l.info().Config; is.MaxMessages != 5 {
				s.Errorf("after a rejected change, the log became %+v", is)
			}
		},
	},
	{
		name:     "config/fixed-order",
		contract: "FailedPrecondition if the group exists with a setting that cannot be changed, naming it and both values",
		rule:     "Consume: FailedPrecondition if the group exists with a setting that cannot be changed, such as Ordered, naming it and both values.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "ordered", Ordered: true}, {Name: "free"}}})
			l.put("a", "0")
			for _, g := range []transport.GroupConfig{{Name: "ordered", Update: true}, {Name: "free", Ordered: true, Update: true}} {
				_, err := l.Consume(s.patient(), transport.ConsumeConfig{Group: g}, transport.Serial(func(*transport.Delivery) {}))
				s.wantFixed(err, "Ordered", [2]string{"true", "false"})
			}
			_, err := s.open(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "ordered"}}, Update: true})
			s.wantFixed(err, "Ordered", [2]string{"true", "false"})
			l.consume(of("free", 1)).handles("0")
		},
	},
}

// wantFixed fails unless err names the setting that cannot be changed, and both its
// values.
func (s *suite) wantFixed(err error, setting string, values [2]string) {
	s.Helper()
	if err == nil {
		s.Fatalf("%s was changed", setting)
	}
	s.wantError(err, transport.FailedPrecondition, transport.OutcomeNotDone)
	for _, part := range []string{setting, values[0], values[1]} {
		if !strings.Contains(err.Error(), part) {
			s.Errorf("%q does not name %q", err, part)
		}
	}
}
