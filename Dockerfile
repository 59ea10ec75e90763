# The companion with its pinned packages:
#   docker build -t companion .
#   mkdir -p out runs    (else Docker makes them, as root's)
#   docker run --rm -v "$PWD/out:/companion/figures" -v "$PWD/runs:/companion/data/runs" companion make figures PROFILE=quick
#   docker run --rm -p 127.0.0.1:8888:8888 companion make lab ARGS="--ip=0.0.0.0 --no-browser"
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install --yes --no-install-recommends git libgomp1 make \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 reader \
    && install --directory --owner reader /companion

USER reader
WORKDIR /companion

# The packages first: this layer stays as long as the pins do.
COPY --chown=reader requirements.txt ./
RUN python -m venv .venv \
    && .venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check -r requirements.txt

COPY --chown=reader . ./
RUN make .venv/.stamp

ENV PATH="/companion/.venv/bin:$PATH"
EXPOSE 8888
CMD ["python", "-m", "lib", "list"]
