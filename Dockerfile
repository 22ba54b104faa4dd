# The images of the core, the edge, and the one-shot that makes what TLS needs: `docker build --target core .`
#
# Rule: an image holds one program and what it imports. Packages come before code, so that a change of code
# makes two small layers anew; both are made elsewhere and copied, so that no tool of the making stays behind.

FROM python:3.13-slim AS python
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# What is larger goes back to the system when it is freed: glibc raises this threshold with each large message
# that it frees, up to 32 MiB, and a heap of such messages can hardly be trimmed.
ENV MALLOC_MMAP_THRESHOLD_=1048576
WORKDIR /app
# The base has no bytecode of the standard library, and a root file system that is read-only gets none: each
# start, and each look at health, would compile it anew.
RUN python -m compileall -q -x 'site-packages|ensurepip|idlelib|tkinter|turtledemo|lib2to3' \
    "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"

FROM python AS packages
RUN python -m venv --without-pip /venv
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_CACHE_DIR=/var/cache/pip

FROM packages AS core-packages
COPY requirements/core.txt /
RUN --mount=type=cache,target=/var/cache/pip pip --python /venv/bin/python install -q -r /core.txt

FROM packages AS gateway-packages
COPY requirements/gateway.txt /
RUN --mount=type=cache,target=/var/cache/pip pip --python /venv/bin/python install -q -r /gateway.txt

FROM packages AS tls-packages
COPY requirements/tls.txt /
RUN --mount=type=cache,target=/var/cache/pip pip --python /venv/bin/python install -q -r /tls.txt

# What every request passes is compiled. The wheel has the sources too: what is not compiled is run of them.
FROM gateway-packages AS wheel
RUN apt-get update -q && apt-get install -q -y --no-install-recommends gcc libc6-dev
COPY requirements/build.txt /
RUN --mount=type=cache,target=/var/cache/pip pip --python /venv/bin/python install -q -r /build.txt
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY protos/gateway protos/gateway
COPY server_process server_process
COPY grpc_wire grpc_wire
COPY gateway gateway
RUN HATCH_BUILD_HOOK_ENABLE_CUSTOM=true python -m hatchling build -t wheel -d /wheel \
    && python -m zipfile -e /wheel/*.whl /wheel

# Whoever checked the sources out may have kept them from others.
FROM python AS core-code
COPY --from=wheel /wheel/*.so ./
COPY --from=wheel /wheel/server_process server_process
COPY --from=wheel /wheel/grpc_wire grpc_wire
COPY grpc_core grpc_core
RUN python -m compileall -q . && chmod -R a+rX .

FROM python AS gateway-code
COPY --from=wheel /wheel/*.so ./
COPY --from=wheel /wheel/server_process server_process
COPY --from=wheel /wheel/grpc_wire grpc_wire
COPY --from=wheel /wheel/gateway gateway
RUN python -m compileall -q . && chmod -R a+rX .

# Volumes take their first owner from the folders of the image: /rates is for CORE_RATES_FILE.
FROM python AS core
RUN install -d -o 10001 -g 10001 /rates
COPY --from=core-packages /venv /venv
COPY --from=core-code /app /app
USER 10001:10001
ENV CORE_HOST=0.0.0.0
EXPOSE 50051
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python", "-m", "grpc_core.health"]
ENTRYPOINT ["python", "-m", "grpc_core"]

# The contract is not in it: PROTOWAY_DESCRIPTOR_SET says which file of yours it is.
FROM python AS gateway
COPY --from=gateway-packages /venv /venv
COPY --from=gateway-code /app /app
USER 10001:10001
ENV PROTOWAY_HOST=0.0.0.0
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python", "-m", "gateway.health"]
ENTRYPOINT ["python", "-m", "gateway"]
CMD ["serve"]

FROM python AS tls
COPY --from=tls-packages /venv /venv
COPY scripts/make_tls.py .
RUN chmod a+r make_tls.py && install -d -o 10001 -g 10001 /tls/core /tls/gateway /tls/envoy /tls/client
USER 10001:10001
ENTRYPOINT ["python", "make_tls.py"]
