package lifecycle

import (
	"encoding/xml"
	"fmt"
	"strings"
	"time"
)

// day is a day of the rules, where nothing else is said.
const day = 24 * time.Hour

// Clock counts the days of rules. The zero Clock counts as S3 does: to the
// midnight UTC that follows the last of them.
type Clock struct {
	// Day is how long a day is, for trying rules out; nothing is rounded then.
	Day time.Duration
}

// After is when so many days have gone by since t.
func (c Clock) After(t time.Time, days int) time.Time {
	t = t.UTC()
	if c.Day > 0 && c.Day != day {
		return t.Add(time.Duration(days) * c.Day)
	}
	return t.AddDate(0, 0, days+1).Truncate(day)
}

// Date is a midnight UTC.
type Date struct{ time.Time }

// dateLayouts are the forms of ISO 8601 that tools send.
var dateLayouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04Z07:00", time.DateOnly}

// UnmarshalXML reads the forms of ISO 8601.
func (d *Date) UnmarshalXML(dec *xml.Decoder, start xml.StartElement) error {
	var text string
	if err := dec.DecodeElement(&text, &start); err != nil {
		return err
	}
	text = strings.TrimSpace(text)
	for _, layout := range dateLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			d.Time = t.UTC()
			return nil
		}
	}
	return fmt.Errorf("%.40q is no date of ISO 8601", text)
}

// MarshalXML writes a Date as S3 does.
func (d Date) MarshalXML(enc *xml.Encoder, start xml.StartElement) error {
	return enc.EncodeElement(d.UTC().Format("2006-01-02T15:04:05.000Z"), start)
}
