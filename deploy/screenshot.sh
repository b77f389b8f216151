#!/usr/bin/env bash
# Takes deploy/prometheus-graph.png, a screenshot of Prometheus's graph page. It shows the
# request rate by endpoint of a fleet that has run for a while. On Debian:
#   apt install nginx prometheus chromium pngquant && deploy/screenshot.sh
# SECONDS_OF_TRAFFIC sets how long the fleet runs before the screenshot (default: 180).
set -euo pipefail
cd "$(dirname "$0")/.."
picture=$PWD/deploy/prometheus-graph.png
folder=$(mktemp -d)

cargo build --quiet --package fleet --package webapp
coproc fleet { exec cargo run --quiet --package fleet -- --stay; }
running=$fleet_PID
# The fleet stops its processes when it gets SIGTERM. Wait until it has done so.
trap 'kill "$running" 2>/dev/null; wait "$running" 2>/dev/null || true; rm -rf "$folder"' EXIT
prometheus=
while read -r line; do
  echo "$line"
  case $line in
    Prometheus*) prometheus=${line##* } ;;
    *until*) break ;;
  esac
done <&"${fleet[0]}"
[ -n "$prometheus" ] || { echo "the fleet did not start"; exit 1; }

echo "${SECONDS_OF_TRAFFIC:=180} s of traffic"
sleep "$SECONDS_OF_TRAFFIC"
query='sum%20by%20(endpoint)%20(rate(requests_total%5B1m%5D))'
# Chromium runs headless. Its sandbox does not work for root, for example in a container.
sandbox=()
[ "$(id -u)" -ne 0 ] || sandbox=(--no-sandbox)
timeout 60 chromium --headless "${sandbox[@]}" --disable-gpu --hide-scrollbars \
  --user-data-dir="$folder" --window-size=1100,930 --virtual-time-budget=15000 \
  --screenshot="$folder/graph.png" \
  "$prometheus?g0.expr=$query&g0.tab=0&g0.stacked=0&g0.range_input=3m" 2>"$folder/chromium.log" || { cat "$folder/chromium.log"; exit 1; }
pngquant --force --output "$picture" 64 "$folder/graph.png"
ls -l "$picture"
