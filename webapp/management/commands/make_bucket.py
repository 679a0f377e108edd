from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.storage import storages
from django.core.management.base import BaseCommand, CommandError
from storages.backends.s3 import S3Storage


class Command(BaseCommand):
    help = "Make the bucket that CANOPY_S3_BUCKET names, unless it is there."

    def handle(self, *args: Any, **options: Any) -> None:
        storage = storages["default"]
        if not isinstance(storage, S3Storage):
            self.stdout.write("Files are kept in a folder: no bucket is needed.")
            return
        client = storage.connection.meta.client
        try:
            client.create_bucket(Bucket=storage.bucket_name)
        except (client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
            self.stdout.write(f"The bucket {storage.bucket_name} is there.")
        except (BotoCoreError, ClientError) as error:
            raise CommandError(f"The bucket {storage.bucket_name} cannot be made: {error}") from error
        else:
            self.stdout.write(f"The bucket {storage.bucket_name} is made.")
