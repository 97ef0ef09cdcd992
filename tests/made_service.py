"""A service on made photos in a process of its own: `python tests/made_service.py FOLDER [leak]`.

Says its address and an admin's key in a line of JSON. With `leak` it forgets no photo: what a soak
must notice.
"""

import json
import sys
from pathlib import Path

from served import made_calibration, made_recognizer

from visavis.gallery import open_gallery
from visavis.serve.run import ListenAddress, answer_until_stopped, prepare
from visavis.serve.service import ServeSettings, Service


def main() -> None:
    folder, *how = sys.argv[1:]
    recognizer, gallery = made_recognizer(made_calibration()), open_gallery(Path(folder))
    settings = ServeSettings(workers=1)
    prepared = prepare(recognizer, gallery, ListenAddress(port=0), settings, new_key=True)
    if how == ["leak"]:
        keep_every_photo(prepared.service)
    said = {"url": prepared.url, "admin_key": prepared.new_key}
    sys.stdout.write(json.dumps(said, indent=1) + "\n")
    sys.stdout.flush()
    answer_until_stopped(prepared)


def keep_every_photo(service: Service) -> None:
    kept, opened = [], service.photo

    def photo(upload):
        kept.append(upload)
        return opened(upload)

    service.photo = photo


if __name__ == "__main__":
    main()
