#!/bin/sh
# sh docs/pictures/draw.sh FOLDER [HEIGHT]: the README's pictures, of the first screen of that stored
# run's report, light and dark. Needs Chromium (Debian: apt-get install chromium).
set -eu
page=$(realpath "$1/report.html")
for theme in dark:0 light:1; do
  chromium --headless --no-sandbox --hide-scrollbars --window-size="880,${2:-775}" \
    --blink-settings="preferredColorScheme=${theme#*:}" \
    --screenshot="$(dirname "$0")/verdict-${theme%:*}.png" "file://$page"
done
