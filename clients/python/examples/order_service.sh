#!/bin/sh
# Starts the order service. If its packages are missing, it installs them into a virtual environment below target/.
set -eu
cd "$(dirname "$0")"
tools="${CARGO_TARGET_DIR:-$PWD/../../../target}/tools"
export PYTHONPATH="$PWD/../src" PYTHONDONTWRITEBYTECODE=1
has_packages='import importlib.util as u, sys; sys.exit(not (u.find_spec("fastapi") and u.find_spec("uvicorn")))'

for python in python3 "$tools/python/bin/python3" "$tools/order-service/bin/python3"; do
  if "$python" -c "$has_packages" 2>/dev/null; then
    exec "$python" order_service.py
  fi
done
echo "order_service.sh: installs fastapi and uvicorn into $tools/order-service"
python3 -m venv --clear "$tools/order-service"
"$tools/order-service/bin/python3" -m pip install --quiet --disable-pip-version-check -r requirements.txt
exec "$tools/order-service/bin/python3" order_service.py
