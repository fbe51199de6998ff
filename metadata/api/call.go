package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"meridian/internal/httpserve"
	"meridian/metadata"
)

// requestTime bounds a request other than a stream.
const requestTime = 30 * time.Second

// call is one request on its way through the API.
type call struct {
	*API
	gin   *gin.Context
	r     *http.Request
	route route
	who   principal
}

// handle makes a gin handler of a route: who calls is found out, and whether
// they may, before anything of the request's body is read.
func (a *API) handle(rt route) gin.HandlerFunc {
	return func(gc *gin.Context) {
		c := &call{API: a, gin: gc, r: gc.Request, route: rt}
		if !rt.stream {
			ctx, cancel := context.WithTimeout(c.r.Context(), requestTime)
			defer cancel()
			c.r = c.r.WithContext(ctx)
		}
		start := time.Now()
		defer func() {
			p := recover()
			err, _ := p.(error)
			if p != nil && !errors.Is(err, http.ErrAbortHandler) {
				a.log.ErrorContext(c.r.Context(), "panic", "request_id", httpserve.RequestID(c.r.Context()),
					"method", c.r.Method, "path", c.r.URL.Path, "panic", p, "stack", string(debug.Stack()))
				if !gc.Writer.Written() {
					c.fail(fmt.Errorf("panic: %v", p))
					p = nil
				}
			}
			a.metrics.observe(rt, c.r.Method, gc.Writer.Status(), time.Since(start))
			if p != nil {
				panic(http.ErrAbortHandler)
			}
		}()
		h := gc.Writer.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		if a.opts.Tus != nil && isTus(c.r.URL.Path) {
			a.opts.Tus.Headers(h)
		}
		if err := c.serve(); err != nil {
			c.fail(err)
		}
	}
}

func (c *call) serve() error {
	if c.route.access&anonymous == 0 {
		if err := c.identify(); err != nil {
			return err
		}
		if c.route.access&c.who.caller() == 0 {
			if c.who.limited {
				return errLimited
			}
			return errForbidden
		}
	}
	if err := c.checkQuery(); err != nil {
		return err
	}
	return c.route.do(c)
}

// checkQuery refuses parameters that the route does not know, and those given
// twice: a misspelt filter must not select everything.
func (c *call) checkQuery() error {
	if c.r.URL.RawQuery == "" || !strings.HasPrefix(c.r.URL.Path, "/v1/") || c.route.path == "" {
		return nil
	}
	query, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return badField("query", "of the URL is malformed: %s", err)
	}
	var wrong fieldErrors
	for name, values := range query {
		known := slices.ContainsFunc(c.route.query, func(p param) bool { return p.name == name })
		switch {
		case !known && strings.HasPrefix(strings.ToLower(name), "x-amz-"): // a signature
		case !known:
			wrong = append(wrong, FieldError{name, "is no parameter here" + suggest(name, c.route.queryNames())})
		case len(values) > 1:
			wrong = append(wrong, FieldError{name, "is given more than once"})
		}
	}
	if len(wrong) > 0 {
		slices.SortFunc(wrong, func(a, b FieldError) int { return strings.Compare(a.Field, b.Field) })
		return wrong
	}
	return nil
}

// cause is what the event of a delete tells of this request.
func (c *call) cause() metadata.Cause {
	return metadata.Cause{User: c.who.user, Address: c.gin.ClientIP(), Request: httpserve.RequestID(c.ctx())}
}

func (c *call) ctx() context.Context         { return c.r.Context() }
func (c *call) param(name string) string     { return c.gin.Param(name) }
func (c *call) query(name string) string     { return c.r.URL.Query().Get(name) }
func (c *call) setHeader(name, value string) { c.gin.Writer.Header().Set(name, value) }

// number is a parameter between least and most.
func (c *call) number(name string, fallback, least, most int) (int, error) {
	text := c.query(name)
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, badField(name, "%.40q is not a number between %d and %d", text, least, most)
	}
	return n, nil
}

// json answers v.
func (c *call) json(status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	c.write(status, "application/json", body)
	return nil
}

// created answers a new thing and where it is.
func (c *call) created(path string, v any) error {
	c.setHeader("Location", path)
	return c.json(http.StatusCreated, v)
}

func (c *call) noContent() error {
	c.gin.Writer.WriteHeader(http.StatusNoContent)
	c.gin.Writer.WriteHeaderNow()
	return nil
}

// write sends a whole answer; of HEAD, its headers.
func (c *call) write(status int, contentType string, body []byte) {
	h := c.gin.Writer.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	c.gin.Writer.WriteHeader(status)
	if c.r.Method == http.MethodHead {
		c.gin.Writer.WriteHeaderNow()
		return
	}
	_, _ = c.gin.Writer.Write(body) // a client that is gone cannot be told
}

// controller reaches the connection's deadlines.
func (c *call) controller() *http.ResponseController {
	return http.NewResponseController(c.gin.Writer)
}

// deadline moves a deadline of the connection where it has some: a recorder in
// a test has none.
func ignoreUnsupported(err error) error {
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}
