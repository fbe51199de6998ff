package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"meridian/internal/program"
)

// server is one that is measured.
type server struct {
	name      string
	port, tls int // tls is 0 where it has none
	root      *process
	ranges    bool // it answers a Range from its cache
}

// start starts every server, the edge first.
func (m *machine) start(ctx context.Context) ([]*server, error) {
	if err := m.certificate(); err != nil {
		return nil, err
	}
	var list []*server
	for _, of := range []struct {
		name  string
		begin func(context.Context) (*server, error)
	}{{"meridian", m.meridian}, {"nginx", m.nginx}, {"varnish", m.varnish}, {"haproxy", m.haproxy}, {"trafficserver", m.trafficServer}} {
		if !program.Chosen(m.o.servers, of.name) {
			continue
		}
		s, err := of.begin(ctx)
		if err != nil {
			return nil, err
		}
		if err := m.fill(ctx, s); err != nil {
			return nil, fmt.Errorf("%s (what it said is in %s): %w", s.name, m.dir, err)
		}
		fmt.Fprintln(os.Stderr, "filled", s.name)
		list = append(list, s)
	}
	return list, nil
}

// workers is how many threads or processes a server is given.
func (m *machine) workers() int {
	if m.pinned {
		return 1
	}
	return runtime.NumCPU()
}

func (m *machine) file(name, text string) (string, error) {
	path := filepath.Join(m.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // servers drop their rights
		return "", err
	}
	return path, os.WriteFile(path, []byte(text), 0o644) //nolint:gosec // likewise
}

// meridian is an edge of its own before all else of Meridian in another process.
func (m *machine) meridian(ctx context.Context) (*server, error) {
	data, base := filepath.Join(m.dir, "meridian"), m.o.port+100
	if m.back == nil {
		var err error
		// Not pinned: it only fills the edge.
		if m.back, err = m.run(ctx, "meridian-dev", false, m.o.binary, "dev", "--data", data, "--port-base", strconv.Itoa(base), "--log-level", "warn"); err != nil {
			return nil, err
		}
		if err := m.upload(ctx, data, base); err != nil {
			return nil, err
		}
	}
	s := &server{name: "meridian", port: m.o.port + 1, tls: m.o.port + 2, ranges: true}
	edge := func(name string, port int, more ...string) (*process, error) {
		args := append([]string{
			"edge", "--region", "us-west", "--listen", fmt.Sprintf("127.0.0.1:%d", port), "--cache-memory", "512MiB",
			"--metadata", fmt.Sprintf("http://127.0.0.1:%d", base), "--cluster-secret-file", filepath.Join(data, "cluster-secret"),
		}, more...)
		return m.run(ctx, name, m.pinned, m.o.binary, args...)
	}
	var err error
	if s.root, err = edge("meridian-edge", s.port); err != nil {
		return nil, err
	}
	// TLS is a process of its own: an edge has one listener.
	secure, err := edge("meridian-edge-tls", s.tls, "--tls-cert", m.cert, "--tls-key", m.key)
	if err != nil {
		return nil, err
	}
	s.root.also = secure
	return s, nil
}

func (m *machine) nginx(ctx context.Context) (*server, error) {
	s := &server{name: "nginx", port: m.o.port + 11, tls: m.o.port + 12, ranges: true}
	conf, err := m.file("nginx.conf", fmt.Sprintf(`daemon off;
worker_processes %d;
pid %[2]s/nginx.pid;
error_log %[2]s/nginx-error.log crit;
worker_rlimit_nofile 65536;
events { worker_connections 8192; }
http {
  access_log %[2]s/nginx-access.log combined buffer=32k flush=1s;
  sendfile on; tcp_nopush off; tcp_nodelay on; keepalive_requests 1000000000;
  open_file_cache max=20000 inactive=10m;
  proxy_cache_path %[2]s/nginx-cache levels=1:2 keys_zone=c:64m max_size=2g inactive=1d use_temp_path=off;
  proxy_temp_path %[2]s/nginx-tmp; client_body_temp_path %[2]s/nginx-body; fastcgi_temp_path %[2]s/nginx-f; uwsgi_temp_path %[2]s/nginx-u; scgi_temp_path %[2]s/nginx-s;
  server {
    listen 127.0.0.1:%[3]d backlog=4096; listen 127.0.0.1:%[4]d ssl backlog=4096;
    ssl_certificate %[5]s; ssl_certificate_key %[6]s; ssl_protocols TLSv1.2 TLSv1.3;
    location / { proxy_pass http://127.0.0.1:%[7]d; proxy_cache c; proxy_cache_valid 200 1d; add_header X-Cache $upstream_cache_status; }
  }
}
`, m.workers(), m.dir, s.port, s.tls, m.cert, m.key, m.o.port))
	if err != nil {
		return nil, err
	}
	s.root, err = m.run(ctx, s.name, m.pinned, "nginx", "-c", conf, "-p", m.dir)
	return s, err
}

func (m *machine) varnish(ctx context.Context) (*server, error) {
	s := &server{name: "varnish", port: m.o.port + 21, ranges: true}
	vcl, err := m.file("bench.vcl", fmt.Sprintf("vcl 4.1;\nbackend default { .host = \"127.0.0.1\"; .port = \"%d\"; }\n", m.o.port))
	if err != nil {
		return nil, err
	}
	s.root, err = m.run(ctx, s.name, m.pinned, "varnishd", "-F", "-a", fmt.Sprintf("127.0.0.1:%d", s.port), "-f", vcl,
		"-s", "malloc,1g", "-n", filepath.Join(m.dir, "varnish"), "-T", "none")
	return s, err
}

func (m *machine) haproxy(ctx context.Context) (*server, error) {
	s := &server{name: "haproxy", port: m.o.port + 31, tls: m.o.port + 32}
	pair, err := m.joined()
	if err != nil {
		return nil, err
	}
	conf, err := m.file("haproxy.cfg", fmt.Sprintf(`global
  nbthread %d
  maxconn 8192
cache c
  total-max-size 1024
  max-object-size 20000000
  max-age 86400
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
frontend f
  bind 127.0.0.1:%d
  bind 127.0.0.1:%d ssl crt %s
  http-request cache-use c
  http-response cache-store c
  default_backend b
backend b
  http-request cache-use c
  http-response cache-store c
  server o 127.0.0.1:%d
`, m.workers(), s.port, s.tls, pair, m.o.port))
	if err != nil {
		return nil, err
	}
	s.root, err = m.run(ctx, s.name, m.pinned, "haproxy", "-db", "-q", "-f", conf)
	return s, err
}

func (m *machine) trafficServer(ctx context.Context) (*server, error) {
	s := &server{name: "trafficserver", port: m.o.port + 41, tls: m.o.port + 42, ranges: true}
	root := filepath.Join(m.dir, "ats")
	etc := "ats/etc/"
	if _, err := os.Stat(root); err != nil {
		if err := os.CopyFS(filepath.Join(root, "etc"), os.DirFS("/etc/trafficserver")); err != nil {
			return nil, err
		}
	}
	for name, text := range map[string]string{
		"records.config": fmt.Sprintf(`CONFIG proxy.config.http.server_ports STRING %d:ip-in=127.0.0.1 %d:ssl:ip-in=127.0.0.1
CONFIG proxy.config.exec_thread.autoconfig INT 0
CONFIG proxy.config.exec_thread.limit INT %d
CONFIG proxy.config.accept_threads INT 0
CONFIG proxy.config.admin.user_id STRING #-1
CONFIG proxy.config.cache.ram_cache.size INT 1073741824
CONFIG proxy.config.cache.ram_cache_cutoff INT 20971520
CONFIG proxy.config.http.cache.required_headers INT 0
CONFIG proxy.config.http.insert_response_via_str INT 1
CONFIG proxy.config.url_remap.remap_required INT 1
CONFIG proxy.config.ssl.server.cert.path STRING %s
CONFIG proxy.config.ssl.server.private_key.path STRING %s
`, s.port, s.tls, m.workers(), m.dir, m.dir),
		"remap.config": fmt.Sprintf("map / http://127.0.0.1:%d/\n", m.o.port),
		"../runroot.yaml": fmt.Sprintf("prefix: %[1]s\nexec_prefix: %[1]s\nbindir: /usr/bin\nsbindir: /usr/sbin\nsysconfdir: %[1]s/etc\ndatadir: %[1]s/cache\n"+
			"includedir: /usr/include\nlibdir: /usr/lib/trafficserver\nlibexecdir: /usr/lib/trafficserver/modules\nlocalstatedir: %[1]s/var\n"+
			"runtimedir: %[1]s/run\nlogdir: %[1]s/log\ncachedir: %[1]s/cache\n", root),
		"storage.config":       filepath.Join(root, "storage") + " 2G\n",
		"ssl_multicert.config": fmt.Sprintf("dest_ip=* ssl_cert_name=%s ssl_key_name=%s\n", filepath.Base(m.cert), filepath.Base(m.key)),
	} {
		if _, err := m.file(etc+name, text); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"storage", "var", "run", "log", "cache"} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil { //nolint:gosec // servers drop their rights
			return nil, err
		}
	}
	var err error
	s.root, err = m.run(ctx, s.name, m.pinned, "traffic_server", "--run-root="+root)
	return s, err
}

// versions are those of the peers, for the table.
func versions(ctx context.Context) string {
	var list []string
	for _, c := range [][]string{{"nginx", "-v"}, {"varnishd", "-V"}, {"haproxy", "-v"}, {"traffic_server", "--version"}} {
		list = append(list, firstLine(ctx, c[0], c[1:]...))
	}
	return strings.Join(list, "; ")
}
