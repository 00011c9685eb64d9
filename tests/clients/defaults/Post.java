import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** Sends a body so often, one after another, with the client's default settings: Post URL COUNT BODY. */
public class Post {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        int count = Integer.parseInt(arguments[1]);
        int taken = 0, lost = 0;
        for (int n = 0; n < count; n++) {
            HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0]))
                    .header("Content-Type", "application/json")
                    .POST(HttpRequest.BodyPublishers.ofString(arguments[2]))
                    .build();
            try {
                HttpResponse<String> response = client.send(request, HttpResponse.BodyHandlers.ofString());
                taken += response.statusCode() == 202 ? 1 : 0;
            } catch (java.io.IOException failure) {
                lost++;
                System.err.println(failure);
            }
        }
        System.out.println("taken " + taken + " lost " + lost);
    }
}
