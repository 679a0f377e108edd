# One image for every role: docker-compose.yml says which command each container runs.
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

# git applies the patches that the patch verifier grades.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 10001 canopy \
    && mkdir /data \
    && chown canopy /data

WORKDIR /app
COPY requirements.lock ./
RUN pip install --no-deps --require-hashes -r requirements.lock

COPY manage.py ./
COPY webapp ./webapp
COPY jobs ./jobs
COPY engine ./engine
COPY kernels ./kernels
COPY templates ./templates

USER 10001
ENV CANOPY_DATA=/data
RUN python manage.py collectstatic --noinput
VOLUME /data
EXPOSE 8000
CMD ["uvicorn", "webapp.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--lifespan", "off", "--proxy-headers"]
