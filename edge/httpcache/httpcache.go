// Package httpcache holds the decisions of an HTTP cache, apart from all doing:
// what a URL names and under which name it is cached, how long an answer stays
// fresh, whether a condition holds, which ranges are asked for, what a cache says
// of itself, and how all that is kept. It does no I/O, knows no clock, and
// imports nothing but the standard library.
//
// The rules are those of RFC 9110 (semantics), RFC 9111 (caching), RFC 5861
// (stale content), RFC 9211 (Cache-Status) and RFC 9213 (targeted cache
// control), read as a shared cache has to.
package httpcache
