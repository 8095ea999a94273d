# One file for all programs: docker build --build-arg PROGRAM=proxy -t turnout/proxy:dev .
# `make docker-build` builds operator and proxy, with their version.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG PROGRAM
ARG VERSION=dev
ARG TARGETOS
ARG TARGETARCH
WORKDIR /src

# The modules are a layer of their own: it is built again only when they change.
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download

COPY api api
COPY cmd cmd
COPY internal internal
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    test -n "$PROGRAM" || { echo "say which program: --build-arg PROGRAM=operator, proxy, kubectl-turnout or modelsim" >&2; exit 1; }; \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath \
      -ldflags "-s -w -X github.com/turnout-ai/turnout/internal/version.Version=$VERSION" \
      -o /program "./cmd/$PROGRAM"

# No shell, no package manager, certificates of the public authorities, a user that is not root.
FROM gcr.io/distroless/static:nonroot
COPY --from=build /program /program
USER 65532:65532
ENTRYPOINT ["/program"]
