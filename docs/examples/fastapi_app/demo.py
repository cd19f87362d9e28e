"""Runs the app with a simulated account: ``python demo.py [PORT [PORT_OF_THE_SIMULATOR]]``."""

import datetime as dt
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import uvicorn

from worksection_async.testing import Simulator

PASSWORD = "only for the demo"


def main(port: int = 8443, simulator_port: int = 8010) -> None:
    """Serve the app and the simulator until Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the temporary folder is deleted, as by Ctrl-C
    site_url = f"https://localhost:{port}"
    sim = Simulator(rate=1.0)
    sim.oauth.redirect_uri = f"{site_url}/auth/callback"
    sim.add_webhook(
        f"{site_url}/webhook/", ["post_comment", "update_task"], http_user="worksection", http_pass=PASSWORD
    )
    for id_task, days in {331430: -1, 331894: 0, 331910: 2, 2601: 9}.items():
        sim.update(sim.tasks[id_task], date_end=dt.date.today() + dt.timedelta(days))
    with tempfile.TemporaryDirectory() as folder, sim.serve(port=simulator_port) as url:
        os.environ |= {
            "WORKSECTION_ACCOUNT": url,
            "WORKSECTION_LOGIN": url,
            "WORKSECTION_CLIENT_ID": sim.oauth.client_id,
            "WORKSECTION_CLIENT_SECRET": sim.oauth.client_secret,
            "SITE_URL": site_url,
            "SESSION_SECRET": PASSWORD,
            "WEBHOOK_PASSWORD": PASSWORD,
            "TOKEN_FOLDER": folder,
        }
        key, certificate = make_certificate(Path(folder))
        print(f"Open {site_url} and accept its certificate. Ctrl-C ends the demo.", flush=True)
        here = str(Path(__file__).parent)
        uvicorn.run(
            "app:app",
            app_dir=here,
            port=port,
            ssl_keyfile=key,
            ssl_certfile=certificate,
            log_level="warning",
            timeout_graceful_shutdown=1,  # a browser can keep its TLS connection for half a minute
        )


def make_certificate(folder: Path) -> tuple[str, str]:
    """Make a self-signed certificate for localhost, because Worksection redirects to HTTPS only."""
    key, certificate = str(folder / "key.pem"), str(folder / "certificate.pem")
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -keyout {key} -out {certificate}"
    command += " -addext subjectAltName=DNS:localhost"
    subprocess.run(command.split(), check=True, capture_output=True)
    return key, certificate


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
