# Converts models. From the repository's root:
#   docker build -f docker/convert.Dockerfile -t flowlite-toolkit .
#   docker run --rm -v "$PWD/runs:/work/runs" flowlite-toolkit convert --delegate nnapi --out runs/demo
# Where no image registry is reachable, pass a local base: --build-arg BASE_IMAGE=localhost/debian-python:3.11
ARG BASE_IMAGE=docker.io/library/python:3.11.10-slim-bookworm@sha256:5148c0e4bbb64271bca1d3322360ebf4bfb7564507ae32dd639322e4952a6b16

# hadolint ignore=DL3006
FROM ${BASE_IMAGE} AS environment
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONHASHSEED=0
# Where wheels that the index does not carry lie on the builder (a torch CPU wheel, say); empty by default.
ARG FIND_LINKS=""
# Index of CPU wheels of torch; its wheel must have a hash of the lock.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY requirements.lock docker/install.sh /src/
RUN python3 -m venv /opt/toolkit \
    && PIP_FIND_LINKS="${FIND_LINKS}" TORCH_INDEX="${TORCH_INDEX}" \
       /src/install.sh /opt/toolkit/bin/python /src/requirements.lock
COPY pyproject.toml README.md LICENSE /src/
COPY converters /src/converters
COPY toolkit /src/toolkit
RUN /opt/toolkit/bin/pip install --no-deps --no-build-isolation /src

# hadolint ignore=DL3006
FROM ${BASE_IMAGE}
COPY --from=environment /opt/toolkit /opt/toolkit
COPY calibration_data /opt/calibration_data
# libsndfile and libgomp come inside the wheels; no system package is needed.
RUN useradd --create-home --uid 10001 toolkit && mkdir -p /work/runs && chown -R toolkit:toolkit /work
ENV PATH=/opt/toolkit/bin:$PATH TF_USE_LEGACY_KERAS=1 PYTHONHASHSEED=0 TOOLKIT_CALIBRATION_DATA=/opt/calibration_data
USER 10001
WORKDIR /work
ENTRYPOINT ["toolkit"]
CMD ["--help"]
