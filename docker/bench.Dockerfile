# Measures, inspects and reports; converts nothing. From the repository's root:
#   docker build -f docker/bench.Dockerfile -t flowlite-bench .
#   docker run --rm -v "$PWD/runs:/work/runs" flowlite-bench bench runs/demo/bundle/decoder.tflite
# Phones need adb from the host: docker run --network host -v "$(command -v adb):/usr/local/bin/adb:ro" …
# Where no image registry is reachable, pass a local base: --build-arg BASE_IMAGE=localhost/flowlite-base
ARG BASE_IMAGE=docker.io/library/python:3.11.10-slim-bookworm@sha256:5148c0e4bbb64271bca1d3322360ebf4bfb7564507ae32dd639322e4952a6b16

# hadolint ignore=DL3006
FROM ${BASE_IMAGE} AS environment
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONHASHSEED=0
# The builder's own package index settings, empty by default: wheels on its disk, another index, its certificates.
ARG PIP_FIND_LINKS=""
ARG PIP_EXTRA_INDEX_URL=""
ARG PIP_CERT=""
COPY requirements.lock docker/install.sh docker/lock_subset.py docker/bench.txt docker/sbom.py docker/compile.sh /src/
COPY pyproject.toml README.md LICENSE /src/
COPY converters /src/converters
COPY toolkit /src/toolkit
# setuptools builds the toolkit and stays: a package of the lock like the others.
RUN python3 -m venv /opt/toolkit \
    && python3 /src/lock_subset.py /src/requirements.lock /src/bench.txt /src/bench.lock \
    && /src/install.sh /opt/toolkit/bin/python /src/bench.lock --no-compile \
    && /opt/toolkit/bin/pip install --no-deps --no-build-isolation --no-compile /src \
    && /src/compile.sh /opt/toolkit/bin/python /opt/toolkit/lib \
    && /opt/toolkit/bin/python /src/sbom.py --name flowlite-bench --lock /src/bench.lock \
       --dpkg /var/lib/dpkg/status --out /opt/toolkit/sbom.cdx.json

# hadolint ignore=DL3006
FROM ${BASE_IMAGE}
COPY --from=environment /opt/toolkit /opt/toolkit
# No useradd: it writes the day.
RUN echo 'toolkit:x:10001:10001::/home/toolkit:/usr/sbin/nologin' >> /etc/passwd \
    && echo 'toolkit:x:10001:' >> /etc/group \
    && install -d -o 10001 -g 10001 /home/toolkit /work /work/runs
ENV PATH=/opt/toolkit/bin:/usr/local/bin:/usr/bin:/bin PYTHONHASHSEED=0
USER 10001
WORKDIR /work
ENTRYPOINT ["toolkit"]
CMD ["--help"]
