# The operator's image: Node and two bundles, one per command. A release and the sandbox build this same file;
# make dist/ first with `node bootstrap/images/bundle.ts`.
#
# BASE is any image with Node 24 for glibc and CA certificates. The sandbox, which has no registry, passes one
# that it builds from the npm package of Node.
ARG BASE=gcr.io/distroless/nodejs24-debian12:nonroot@sha256:14d42e2511532589a7c7e01a753667a74fcc96266e137e8125006b87b0c32d0a
FROM ${BASE}

ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="restate-operator" \
      org.opencontainers.image.description="An operator for Restate clusters and services whose reconcilers run on Restate" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/restatedev/restate-operator" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# Where distroless and others keep node. Source maps make a stack trace name the sources.
ENV PATH=/nodejs/bin:/usr/local/bin:/usr/bin:/bin \
    NODE_ENV=production \
    NODE_OPTIONS=--enable-source-maps

COPY dist/ /app/

WORKDIR /app
USER 1000:1000
EXPOSE 9080 8080
ENTRYPOINT ["node"]
CMD ["/app/services.js"]
