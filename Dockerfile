# histoscribe on the processor, run by an ordinary user; docs/install.md says how.
FROM python:3.11-slim AS wheel
COPY . /source
RUN pip wheel --no-deps --wheel-dir /wheel /source

FROM python:3.11-slim
# where builds of torch for the processor alone are; without it, torch brings CUDA and some gigabytes
ARG PIP_EXTRA_INDEX_URL
COPY constraints.txt docker/install.sh docker/start.sh /opt/histoscribe/
COPY --from=wheel /wheel /opt/histoscribe/wheel
RUN /opt/histoscribe/install.sh /opt/venv "$(echo /opt/histoscribe/wheel/*.whl)[lab]"
RUN useradd --create-home histoscribe
USER histoscribe
WORKDIR /work
# inside a container only; publish the port on the host's own loopback: docker run -p 127.0.0.1:8888:8888
ENV HISTOSCRIBE_LAB_IP=0.0.0.0
EXPOSE 8888
ENTRYPOINT ["/opt/histoscribe/start.sh"]
CMD ["--help"]
