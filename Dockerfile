# The app in a container, for any server and for a Hugging Face Space (docs/deploy.md).
FROM python:3.12-slim

RUN pip install --no-cache-dir uv==0.13.9 && useradd --create-home --uid 1000 app
WORKDIR /home/app/demo
COPY requirements.txt pyproject.toml ./
RUN uv pip install --system --no-cache -r requirements.txt
COPY --chown=app app.py ./
COPY --chown=app .streamlit .streamlit
COPY --chown=app resunet resunet
COPY --chown=app pages pages
COPY --chown=app weights weights

USER app
EXPOSE 8501
HEALTHCHECK --start-period=30s --interval=30s --timeout=5s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]
CMD ["streamlit", "run", "app.py", "--server.address=0.0.0.0", "--server.port=8501"]
