# Converts models. From the repository's root:
#   docker build -f docker/convert.Dockerfile -t flowlite-toolkit .
#   docker run --rm -v "$PWD/runs:/work/runs" flowlite-toolkit convert --delegate nnapi --out runs/demo
# (runs/ must be writable for user 10001). `docker/reproduce.py` builds it twice without a daemon and compares.
# Where no image registry is reachable, pass a local base: --build-arg BASE_IMAGE=localhost/flowlite-base
ARG BASE_IMAGE=docker.io/library/python:3.11.10-slim-bookworm@sha256:5148c0e4bbb64271bca1d3322360ebf4bfb7564507ae32dd639322e4952a6b16

# hadolint ignore=DL3006
FROM ${BASE_IMAGE} AS environment
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONHASHSEED=0
# The builder's own package index settings, empty by default: wheels on its disk, another index, its certificates.
ARG PIP_FIND_LINKS=""
ARG PIP_EXTRA_INDEX_URL=""
ARG PIP_CERT=""
# Index of CPU wheels of torch; its wheel must have a hash of the lock.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY requirements.lock docker/install.sh /src/
# Compiled files name no time of their sources, so that they are the same in every build and valid at every time.
RUN python3 -m venv /opt/toolkit && /src/install.sh /opt/toolkit/bin/python /src/requirements.lock --no-compile
COPY docker/sbom.py docker/compile.sh pyproject.toml README.md LICENSE /src/
COPY converters /src/converters
COPY toolkit /src/toolkit
RUN /opt/toolkit/bin/pip install --no-deps --no-build-isolation --no-compile /src \
    && /src/compile.sh /opt/toolkit/bin/python /opt/toolkit/lib \
    && /opt/toolkit/bin/python /src/sbom.py --name flowlite-toolkit --lock /src/requirements.lock \
       --dpkg /var/lib/dpkg/status --out /opt/toolkit/sbom.cdx.json

# hadolint ignore=DL3006
FROM ${BASE_IMAGE}
COPY --from=environment /opt/toolkit /opt/toolkit
COPY requirements.lock /opt/requirements.lock
COPY calibration_data /opt/calibration_data
# libsndfile and libgomp come inside the wheels; no system package is needed. No useradd: it writes the day.
RUN echo 'toolkit:x:10001:10001::/home/toolkit:/usr/sbin/nologin' >> /etc/passwd \
    && echo 'toolkit:x:10001:' >> /etc/group \
    && install -d -o 10001 -g 10001 /home/toolkit /work /work/runs
ENV PATH=/opt/toolkit/bin:/usr/local/bin:/usr/bin:/bin TF_USE_LEGACY_KERAS=1 PYTHONHASHSEED=0 \
    TOOLKIT_CALIBRATION_DATA=/opt/calibration_data TOOLKIT_LOCK=/opt/requirements.lock
USER 10001
WORKDIR /work
ENTRYPOINT ["toolkit"]
CMD ["--help"]
