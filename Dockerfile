# One image for every process of Dueto: DUETO_SERVICE and the command say which one it is.
# docker-compose.yml builds `app` for the services, and `load` for Locust's web page.

FROM python:3.11-slim@sha256:90744cff8f32887f075c47d747a173ff333e9e98801667af93c357fa9f5e28ff AS packages
ENV PYTHONUNBUFFERED=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
# With a number, so that a cluster can see that it is not root.
RUN useradd --system --uid 10001 --no-create-home dueto
WORKDIR /app
COPY requirements/base.txt requirements/
RUN pip install --require-hashes -r requirements/base.txt


FROM packages AS load
COPY requirements/run.txt requirements/
RUN pip install --require-hashes -r requirements/run.txt
# What is let in is listed in .dockerignore.
COPY . .
USER 10001


# The last stage is what a plain `docker build .` makes: the services, without development packages.
FROM packages AS app
COPY . .
USER 10001
