package config

// A Listener is one [[listener]]: an address to listen on, and how.
type Listener struct {
	// Address has one of the forms that [Config.Listen] has.
	Address string `toml:"address" required:"true" arg:"ADDRESS" path:"listen" help:"where to listen: HOST:PORT, :PORT, a path, @NAME or fd:N"`
}
