# docker build -t sync-profiles:0.1.0 .
# docker run --rm --env-file .env -v ./config.toml:/etc/sync-profiles/config.toml:ro -v sync-profiles:/var/lib/sync-profiles sync-profiles:0.1.0
FROM python:3.13-slim AS build
# mysql,dask for the workers of a Dask cluster (ops/dask-cluster.yaml)
ARG EXTRAS=mysql
WORKDIR /src
COPY . .
# The versions of the lock, without what only the tests need.
RUN sed -n 's/ *\\$//; /^[A-Za-z0-9._-]*==/p' requirements.lock > /tmp/constraints.txt \
 && python -m venv /opt/sync-profiles \
 && /opt/sync-profiles/bin/pip install --no-cache-dir --disable-pip-version-check --constraint /tmp/constraints.txt ".[$EXTRAS]"

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home sync-profiles \
 && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/sync-profiles
COPY --from=build /opt/sync-profiles /opt/sync-profiles
ENV PATH=/opt/sync-profiles/bin:$PATH \
    STATE_DIRECTORY=/var/lib/sync-profiles
# What was acknowledged is remembered here; it must outlive the container.
VOLUME /var/lib/sync-profiles
USER 10001:10001
# Docker waits 10 s after SIGTERM by default: docker stop --time 45.
STOPSIGNAL SIGTERM
ENTRYPOINT ["sync-profiles"]
CMD ["run"]
