# MinIO, the origin store of docker-compose.yml. Its images are gone from Docker
# Hub and its repository is archived; the last version of its Go module is what
# stays. It is licensed under the AGPL-3.0 and runs as a program of its own.

FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
ARG GOPROXY
ARG GOSUMDB
ARG TARGETARCH
ARG MINIO_VERSION=v0.0.0-20260212201848-7aac2a2c5b7c
# A build for another architecture lands in a folder named after it.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=linux GOARCH=$TARGETARCH \
    go install -trimpath -ldflags "-s -w" "github.com/minio/minio@$MINIO_VERSION" && \
    mkdir -p /out && find /go/bin -type f -name minio -exec mv {} /out/minio ';'

FROM debian:bookworm-slim
RUN apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates curl && \
    rm -rf /var/lib/apt/lists/* && \
    useradd --uid 10001 --user-group --home-dir /data --no-create-home --shell /usr/sbin/nologin minio && \
    install -d -o 10001 -g 10001 /data
COPY --from=build /out/minio /usr/local/bin/minio
USER 10001:10001
WORKDIR /data
# It would look for newer versions of itself, of which there are none.
ENV MINIO_UPDATE=off
EXPOSE 9000 9001
HEALTHCHECK --interval=3s --timeout=6s --start-period=60s --retries=5 \
    CMD ["curl", "-fsS", "-o", "/dev/null", "http://127.0.0.1:9000/minio/health/cluster"]
ENTRYPOINT ["/usr/local/bin/minio"]
CMD ["server", "/data", "--address", ":9000", "--console-address", ":9001"]
