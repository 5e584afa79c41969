# @summary Address of a tracker, such as `https://tracker.example:3144`.
type Debherd::Tracker = Pattern[/\Ahttps:\/\/[A-Za-z0-9._:\[\]-]+\z/]
