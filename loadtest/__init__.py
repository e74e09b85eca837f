"""The load on the platform: a simulated shop, replay of a real data set, the demo with its report, benches and Locust users."""
