# @summary Bytes with a binary unit, such as `20GiB`.
type Debherd::Size = Pattern[/\A[1-9]\d*(KiB|MiB|GiB|TiB)\z/]
