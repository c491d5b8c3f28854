package load

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

// patience bounds one exchange. Nothing that is measured takes nearly as long.
const patience = time.Minute

// Conn is one client's connection, kept open from call to call. It writes
// requests that were made before the clock started, and reads the answer and
// nothing more, so that a client on one core can keep a server on another busy.
// It is for one goroutine.
type Conn struct {
	dial func() (net.Conn, error)
	c    net.Conn
	r    *bufio.Reader
	body bytes.Buffer
}

// connect opens the connection; the TLS handshake, if there is one, is over
// when it returns.
func (c *Conn) connect() error {
	conn, err := c.dial()
	if err != nil {
		return err
	}
	c.c, c.r = conn, bufio.NewReaderSize(conn, 16<<10)
	return nil
}

// Do sends a whole request and reads its answer. The body is valid until the
// next call.
func (c *Conn) Do(request []byte) (status int, body []byte, err error) {
	if c.c == nil {
		if err := c.connect(); err != nil {
			return 0, nil, err
		}
	}
	if status, err = c.exchange(request); err != nil {
		c.Close()
		return 0, nil, err
	}
	return status, c.body.Bytes(), nil
}

func (c *Conn) exchange(request []byte) (int, error) {
	if err := c.c.SetDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	if _, err := c.c.Write(request); err != nil {
		return 0, err
	}
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	c.body.Reset()
	if _, err := c.body.ReadFrom(res.Body); err != nil {
		return 0, err
	}
	if res.Close {
		c.Close()
	}
	return res.StatusCode, nil
}

// Close ends the connection; the next call opens another.
func (c *Conn) Close() {
	if c.c != nil {
		c.c.Close()
		c.c = nil
	}
}

// Request writes a request whole: method, path with query, body, and header
// names and values in turn.
func Request(method, host, path string, body []byte, header ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, host)
	for i := 0; i+1 < len(header); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", header[i], header[i+1])
	}
	if body != nil {
		b.WriteString("Content-Length: " + strconv.Itoa(len(body)) + "\r\n")
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

// NewConn gives a connection outside of a plan. It is opened by the first call.
func NewConn(dial func() (net.Conn, error)) *Conn { return &Conn{dial: dial} }
