#!/usr/bin/env bash
# Takes deploy/live-view.png, a screenshot of the live view of examples/webapp under traffic.
# On Debian:
#   apt install chromium chromium-driver pngquant && deploy/live-view.sh
# SECONDS_OF_TRAFFIC sets how long the application runs before the screenshot (default: 310,
# so that the sparklines are full).
set -euo pipefail
cd "$(dirname "$0")/.."
picture=$PWD/deploy/live-view.png
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

export SECONDS_OF_TRAFFIC="${SECONDS_OF_TRAFFIC:-310}" PICTURE="$folder/view.png"
echo "$SECONDS_OF_TRAFFIC s of traffic"
cargo test --quiet --package instrument-browser --test screenshot -- --ignored
pngquant --force --output "$picture" 64 "$PICTURE"
ls -l "$picture"
