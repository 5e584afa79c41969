# @summary Absolute path without white space or quotes.
type Debherd::Path = Pattern[/\A\/[A-Za-z0-9_.\/+~-]+\z/]
