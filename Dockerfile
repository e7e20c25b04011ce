# syntax=docker/dockerfile:1
# Stages: `wheels` compiles (packaging/), `dist` has the files that a release has, the last one is the program for users:
#   docker build --target dist --output type=local,dest=dist .
#   docker build -t lorapress . && docker run --rm -v "$PWD:/data" lorapress press /data/checkpoint /data/web-model
FROM debian:trixie AS wheels
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
ARG TARGETS="linux-x86_64 linux-aarch64"
# The commit, since .git stays outside (.dockerignore).
ARG COMMIT=unknown
WORKDIR /lorapress
# Debian's versions move with its security updates; what is inside the wheels is pinned in packaging/pins.toml.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates g++ make rustup \
    && rm -rf /var/lib/apt/lists/* && rustup toolchain install --profile minimal 1.95.0 && rustup default 1.95.0
COPY . .
RUN LORAPRESS_COMMIT="$COMMIT" make wheels TARGETS="$TARGETS"

FROM scratch AS dist
COPY --from=wheels /lorapress/dist/ /

FROM python:3.13-slim-bookworm
COPY --from=wheels /lorapress/dist/*.whl /tmp/wheels/
# The version is that of the only wheel for this machine.
# hadolint ignore=DL3013
RUN pip install --no-cache-dir --no-index --find-links /tmp/wheels lorapress && rm -rf /tmp/wheels \
    && useradd --create-home --uid 1000 lorapress
USER 1000
WORKDIR /data
ENTRYPOINT ["lorapress"]
CMD ["--help"]
