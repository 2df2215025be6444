# vitruvian on a CPU: docs/container.md. Build in a clone, with its version:
#   docker build --build-arg VERSION=0.1.0 --tag vitruvian .
FROM python:3.13.7-slim-trixie AS build
ARG VERSION=0.1.0.dev0
ENV SETUPTOOLS_SCM_PRETEND_VERSION=$VERSION
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN python3 -m venv /opt/vitruvian \
    && /opt/vitruvian/bin/pip install --no-cache-dir --no-compile '.[live]'

FROM python:3.13.7-slim-trixie
RUN useradd --uid 1000 --create-home vitruvian \
    && install --directory --owner vitruvian /cache /work
COPY --from=build /opt/vitruvian /opt/vitruvian
ENV PATH=/opt/vitruvian/bin:$PATH \
    VITRUVIAN_CACHE=/cache \
    MPLCONFIGDIR=/tmp \
    PYTHONDONTWRITEBYTECODE=1
USER 1000
WORKDIR /work
ENTRYPOINT ["vitruvian"]
CMD ["doctor"]
